//! The device that pages see: `wit/deps/fingerprint.wit`.
//!
//! A profile says what a device is; the Chromium that really runs says which version it is, and the agent's settings
//! where it is. Together they are a [`Device`], which the browser is launched with and which every page and worker is
//! given before its first script runs. It is for seeing a site as its visitors do: nothing here hides that the browser
//! is automated.

mod device;
mod places;

use std::path::PathBuf;
use std::sync::Arc;

use armada_project::{Capability, FingerprintSettings, Grant};
use armada_protocol::DeviceProfile;
use ring::digest::{SHA256, digest};
use tokio::sync::OnceCell;
use wasmtime::component::Accessor;

use self::device::Brand;
pub(super) use self::device::{Device, Hints};
use super::browser::chromium_version;
use super::proxy::Lease;
use super::{Means, cut};
use crate::call::{Call, Host, Weigh, call, call_now};
use crate::contract::{Error, fingerprint as wit};
use crate::instance::InstanceState;

/// The profiles that every agent has.
const PROFILES: &str = include_str!("fingerprint/profiles.json");
/// The language where nothing is said.
const LOCALE: &str = "en-US";
/// How much of a name that there is not is shown, in bytes.
const SHOWN_BYTES: usize = 100;

/// The device of an agent's browser.
pub(crate) struct Fingerprint {
    grant: Arc<Grant>,
    settings: FingerprintSettings,
    profiles: Result<Vec<DeviceProfile>, String>,
    /// What chooses among the profiles where no name does.
    seed: u64,
    /// Where the device is, as far as that is known.
    proxy: Arc<Lease>,
    /// The browser's own language and time zone.
    locale: Option<String>,
    timezone: Option<String>,
    executable: Option<PathBuf>,
    /// Known once the browser is launched, and the same from then on.
    device: OnceCell<Arc<Device>>,
}

/// The profiles that every agent has and those that the operator lends, which replace others of their names.
fn profiles(lent: &[DeviceProfile]) -> Result<Vec<DeviceProfile>, String> {
    let mut profiles: Vec<DeviceProfile> = serde_json::from_str(PROFILES).map_err(|error| error.to_string())?;
    profiles.retain(|own| lent.iter().all(|other| other.name != own.name));
    profiles.extend_from_slice(lent);
    Ok(profiles)
}

impl Fingerprint {
    /// The device that an agent's settings ask for.
    pub(super) fn new(means: &Means<'_>, proxy: Arc<Lease>) -> Self {
        let browser = &means.settings.browser.browser;
        let agent = means.by.agent.to_be_bytes();
        let hash = digest(&SHA256, &[means.run.0.as_bytes().as_slice(), agent.as_slice()].concat());
        let seed = hash.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Self {
            grant: means.grant.clone(),
            profiles: profiles(&means.lent.device_profiles),
            seed,
            proxy,
            locale: browser.locale.clone(),
            timezone: browser.timezone.clone(),
            executable: means.options.executable.clone(),
            settings: means.settings.fingerprint.clone(),
            device: OnceCell::new(),
        }
    }

    fn profiles(&self) -> Result<&[DeviceProfile], Error> {
        self.profiles.as_deref().map_err(|error| Error::Other(format!("the profiles of devices: {error}")))
    }

    /// The profile that the settings name, or else the seed chooses.
    fn profile(&self) -> Result<&DeviceProfile, Error> {
        let profiles = self.profiles()?;
        let Some(name) = &self.settings.device_profile else {
            let count = u64::try_from(profiles.len()).unwrap_or(1).max(1);
            let place = usize::try_from(self.seed % count).unwrap_or(0);
            return profiles.get(place).ok_or_else(|| Error::NotFound("there are no profiles of devices".to_owned()));
        };
        profiles.iter().find(|profile| profile.name == *name).ok_or_else(|| {
            let names: Vec<&str> = profiles.iter().map(|profile| profile.name.as_str()).collect();
            Error::NotFound(format!(
                "there is no device profile {:?} (config_fingerprint.device_profile): the profiles are {}",
                cut(name, SHOWN_BYTES),
                names.join(", ")
            ))
        })
    }

    /// The device that the browser shows, or none where the settings do not ask for one. What is asked for and not
    /// granted is refused, rather than shown as something else.
    pub(super) async fn device(&self) -> Result<Option<Arc<Device>>, Error> {
        if !self.settings.fingerprint_enabled {
            return Ok(None);
        }
        let granted = self.grant.check_capability(Capability::Fingerprint.name());
        granted.map_err(|denied| Error::Denied(format!("config_fingerprint.fingerprint_enabled: {denied}")))?;
        let profile = self.profile()?;
        let make = async || {
            let version = chromium_version(self.executable.as_deref()).await?;
            let place = self.proxy.comes_out_at().and_then(|location| places::named(&location));
            let (locale, timezone) = (self.settings.locale.clone(), self.settings.timezone.clone());
            let locale = locale.or(place.map(|place| place.locale.to_owned())).or(self.locale.clone());
            let timezone = timezone.or(place.map(|place| place.timezone.to_owned())).or(self.timezone.clone());
            Ok(Arc::new(Device::new(profile.clone(), version, locale.as_deref().unwrap_or(LOCALE), timezone)))
        };
        self.device.get_or_try_init(make).await.cloned().map(Some)
    }
}

const fn named(name: &'static str) -> Call {
    Call::of(Capability::Fingerprint, name)
}

impl wit::Host for InstanceState {
    fn profiles(&mut self) -> Result<Vec<String>, Error> {
        call_now(self, named("profiles"), |state| {
            let profiles = state.capabilities.fingerprint.profiles()?;
            Ok(profiles.iter().map(|profile| profile.name.clone()).collect())
        })
    }
}

impl wit::HostWithStore<InstanceState> for Host {
    async fn current(accessor: &Accessor<InstanceState, Self>) -> Result<wit::Profile, Error> {
        call(accessor, named("current"), |state| {
            let fingerprint = state.capabilities.fingerprint.clone();
            Ok(async move {
                let device = fingerprint.device().await?;
                let device = device.ok_or_else(|| {
                    Error::Invalid(
                        "the browser shows the device that it runs on: set config_fingerprint.fingerprint_enabled to 1 \
                         in default_agent_message"
                            .to_owned(),
                    )
                })?;
                Ok(told(&device))
            })
        })
        .await
    }
}

fn told(device: &Device) -> wit::Profile {
    let brands = |brands: Vec<Brand>| {
        brands.into_iter().map(|Brand { brand, version }| wit::Brand { brand, version }).collect::<Vec<_>>()
    };
    let size = |(width, height): (u32, u32)| wit::Size { width, height };
    let profile = &device.profile;
    wit::Profile {
        name: profile.name.clone(),
        user_agent: device.user_agent(),
        platform: profile.platform.clone(),
        brands: brands(device.brands()),
        full_version_list: brands(device.full_version_list()),
        hint_platform: profile.hint_platform.clone(),
        platform_version: profile.platform_version.clone(),
        architecture: profile.architecture.clone(),
        bitness: profile.bitness.clone(),
        model: profile.model.clone(),
        mobile: profile.mobile,
        languages: device.languages.clone(),
        timezone: device.timezone.clone(),
        screen: size(profile.screen),
        viewport: size(profile.viewport),
        pixel_ratio: profile.pixel_ratio,
        touch_points: profile.touch_points,
        cores: profile.cores,
        memory: profile.memory,
        dark: profile.dark,
    }
}

impl Weigh for wit::Profile {}
