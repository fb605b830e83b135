//! A component, as far as can be seen without running it: its digest, what it imports, which SDK made it.

use std::collections::BTreeSet;

use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload};

use crate::capability::Capability;
use crate::digest::ComponentRef;
use crate::grant::{Denied, Grant};
use crate::suggest::{harmless, shown};
use crate::test::Test;

/// The section in which SDKs leave their name and version.
pub(crate) const SDK_SECTION: &str = "armada:sdk";
/// The section with the capabilities that the project's own sources speak of, where the component imports them all:
/// what the imports of an interpreter tell nothing about. It is for people: what a component may do is decided
/// elsewhere.
pub(crate) const USES_SECTION: &str = "armada:uses";
/// The section with the project's own tests, one JSON object per line, where they are part of the component.
pub(crate) const TESTS_SECTION: &str = "armada:tests";
/// What every project exports.
const LIFECYCLE: &str = "armada:project/lifecycle@";
/// Interfaces that need no grant: they are types, or harmless.
const FREE: [&str; 3] = ["armada:types/", "armada:tasks/", "wasi:"];

/// A component.
#[derive(Clone, Debug)]
pub struct Component {
    bytes: Vec<u8>,
    reference: ComponentRef,
    imports: BTreeSet<String>,
    sdk: Option<String>,
    uses: Option<String>,
    tests: Vec<Test>,
}

/// Why bytes are no component of a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComponentFlaw {
    /// They are no WebAssembly, or cut short.
    #[error("this is not a Wasm component: {0}")]
    NoComponent(String),
    /// They are a core module.
    #[error("this is a core Wasm module, not a component: build it with `armada build`")]
    CoreModule,
    /// They do not export what Armada calls.
    #[error("the component does not export armada:project/lifecycle: is there an `armada::project!` in its lib.rs?")]
    NoLifecycle,
}

impl Component {
    /// Looks into a component.
    pub fn read(bytes: Vec<u8>) -> Result<Self, ComponentFlaw> {
        let broken = |error: wasmparser::BinaryReaderError| ComponentFlaw::NoComponent(error.to_string());
        if !bytes.starts_with(b"\0asm") {
            return Err(ComponentFlaw::NoComponent("it does not begin as WebAssembly does".to_owned()));
        }
        let mut imports = BTreeSet::new();
        let (mut sdk, mut uses, mut tests, mut lifecycle, mut depth) = (None, None, Vec::new(), false, 0_usize);
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload.map_err(broken)? {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(ComponentFlaw::CoreModule);
                }
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        imports.insert(import.map_err(broken)?.name.name.chars().map(harmless).collect());
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        let export = export.map_err(broken)?;
                        lifecycle |=
                            export.kind == ComponentExternalKind::Instance && export.name.name.starts_with(LIFECYCLE);
                    }
                }
                Payload::CustomSection(section) if section.name() == SDK_SECTION => {
                    sdk = Some(shown(&String::from_utf8_lossy(section.data())));
                }
                Payload::CustomSection(section) if section.name() == USES_SECTION && depth == 0 => {
                    uses = Some(String::from_utf8_lossy(section.data()).into_owned());
                }
                Payload::CustomSection(section) if section.name() == TESTS_SECTION => {
                    tests.extend(Test::read_all(section.data()));
                }
                _ => {}
            }
        }
        if !lifecycle {
            return Err(ComponentFlaw::NoLifecycle);
        }
        let reference = ComponentRef::of(&bytes);
        Ok(Self { bytes, reference, imports, sdk, uses, tests })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, alone.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Its digest and size.
    pub fn reference(&self) -> ComponentRef {
        self.reference
    }

    /// The interfaces that it imports, with their versions.
    pub fn imports(&self) -> impl Iterator<Item = &str> {
        self.imports.iter().map(String::as_str)
    }

    /// The SDK that it was made with, and its version.
    pub fn sdk(&self) -> Option<&str> {
        self.sdk.as_deref()
    }

    /// The project's own tests, in the order in which they are written, where they are part of it.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// The capabilities that it uses.
    pub fn capabilities(&self) -> impl Iterator<Item = Capability> {
        let imports =
            |capability: &Capability| self.imports().any(|import| capability_of(import) == Some(capability.name()));
        let speaks_of = |capability: &Capability| {
            self.uses.as_ref().is_none_or(|uses| uses.split_whitespace().any(|used| used == capability.name()))
        };
        Capability::ALL.iter().copied().filter(move |capability| imports(capability) && speaks_of(capability))
    }

    /// The capabilities that it uses and that this grant refuses it, and why.
    pub fn refused(&self, grant: &Grant) -> Vec<(Capability, Denied)> {
        let refusal = |capability: Capability| Some((capability, grant.check_capability(capability.name()).err()?));
        self.capabilities().filter_map(refusal).collect()
    }

    /// The interfaces that it imports and that no host of this version has.
    pub fn unknown_imports(&self) -> impl Iterator<Item = &str> {
        self.imports().filter(|import| !is_known_import(import))
    }
}

/// Whether hosts of this version have an interface, by its name in a component.
pub fn is_known_import(import: &str) -> bool {
    FREE.iter().any(|free| import.starts_with(free))
        || capability_of(import).is_some_and(|name| name.parse::<Capability>().is_ok())
}

/// `browser` of `armada:browser/browser@0.1.0`; what libraries request by `wasi:http` is `http`, too.
fn capability_of(import: &str) -> Option<&str> {
    if import.starts_with("wasi:http/outgoing-handler@") {
        return Some(Capability::Http.name());
    }
    import.strip_prefix("armada:")?.split_once('/').map(|(package, _)| package)
}

#[cfg(test)]
impl Component {
    /// Bytes that stand for a component where only bytes matter.
    pub(crate) fn fake(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            reference: ComponentRef::of(bytes),
            imports: BTreeSet::new(),
            sdk: None,
            uses: None,
            tests: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn flaw(bytes: &[u8]) -> ComponentFlaw {
        Component::read(bytes.to_vec()).unwrap_err()
    }

    #[test]
    fn what_is_no_component_says_what_it_is() {
        assert!(matches!(flaw(b""), ComponentFlaw::NoComponent(_)));
        assert!(matches!(flaw(b"hello"), ComponentFlaw::NoComponent(_)));
        assert_eq!(flaw(b"\0asm\x01\0\0\0"), ComponentFlaw::CoreModule);
        assert_eq!(flaw(b"\0asm\x0d\0\x01\0"), ComponentFlaw::NoLifecycle);
    }

    #[test]
    fn what_a_component_says_of_itself_cannot_command_a_terminal() {
        let bytes = wat::parse_str(
            r#"(component
                (@custom "armada:sdk" "rust\1b[2J")
                (import "x:y/z@1.0.0" (instance $i))
                (export "armada:project/lifecycle@0.1.0" (instance $i)))"#,
        );
        let component = Component::read(bytes.unwrap()).unwrap();
        assert_eq!(component.sdk(), Some("rust\u{fffd}[2J"));
        assert_eq!(component.unknown_imports().collect::<Vec<_>>(), ["x:y/z@1.0.0"]);
    }

    #[test]
    fn interfaces_belong_to_capabilities() {
        assert_eq!(capability_of("armada:browser/browser@0.1.0"), Some("browser"));
        assert_eq!(capability_of("wasi:cli/stdout@0.2.6"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_component_or_not(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Component::read(bytes.clone());
            bytes.splice(0..0, *b"\0asm\x0d\0\x01\0");
            let _ = Component::read(bytes);
        }
    }
}
