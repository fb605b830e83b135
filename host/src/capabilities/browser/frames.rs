//! The frames of a page, kept up to date by the browser's events.
//!
//! This is bookkeeping only: which frames there are, which document each has, how far it has loaded, in which
//! JavaScript worlds it can be reached, and whether it is on its way to another document. Who waits for something looks
//! here after every event.

use std::collections::{BTreeSet, HashMap};

use serde::Deserialize;

use crate::capabilities::cut;
use crate::contract::browser::LoadState;

/// How many bytes of a frame's name are remembered.
const NAME_BYTES: usize = 1024;
/// How many bytes of the URL of a frame within another are remembered. A page may have a thousand such frames.
const URL_BYTES: usize = 8 * 1024;

/// Names a frame.
pub(crate) type FrameId = String;
/// Names a document's load: a frame has another one after each navigation.
pub(crate) type LoaderId = String;
/// Names a JavaScript world of a document.
pub(crate) type WorldId = i64;

/// The JavaScript worlds of a document that are of use here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum World {
    /// The page's own.
    Main,
    /// Ours, with the page engine.
    Isolated,
}

/// A frame as the browser describes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FrameDescription {
    pub(crate) id: FrameId,
    pub(crate) parent_id: Option<FrameId>,
    pub(crate) loader_id: LoaderId,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) url_fragment: String,
    pub(crate) unreachable_url: Option<String>,
}

/// The frames as the browser describes them all.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FrameTreeDescription {
    pub(crate) frame: FrameDescription,
    #[serde(default)]
    pub(crate) child_frames: Vec<FrameTreeDescription>,
}

/// A frame.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    pub(crate) parent: Option<FrameId>,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) loader: LoaderId,
    /// Whether the document is the browser's own, about a URL that it could not reach.
    pub(crate) failed: bool,
    /// How far the document has loaded; ordered, each state implies those before it (but `network-idle` may come late).
    loaded: BTreeSet<u8>,
    /// How often the frame has got another document, or gone to another place in its document.
    pub(crate) navigations: u64,
    /// Whether the frame is on its way to another document.
    navigating: Navigating,
    worlds: HashMap<World, WorldId>,
    /// In the order of arrival, so that the main frame's children are listed as they came.
    order: u64,
}

/// How far a frame is on its way to another document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Navigating {
    #[default]
    No,
    /// Asked for by the page, not started yet.
    Requested,
    /// Started: loading, and neither committed nor given up.
    Started,
}

/// The frames of a page.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    frames: HashMap<FrameId, Frame>,
    main: FrameId,
    arrivals: u64,
}

/// The place of a state in the order of loading.
fn rank(state: LoadState) -> u8 {
    match state {
        LoadState::Commit => 0,
        LoadState::DomContentLoaded => 1,
        LoadState::Load => 2,
        LoadState::NetworkIdle => 3,
    }
}

impl Frames {
    /// The frames of a new page, of which only the main frame's id is known.
    pub(crate) fn of(main: FrameId) -> Self {
        let mut frames = Self { main: main.clone(), ..Self::default() };
        frames.attached(&main, None);
        frames
    }

    /// The frames as the browser lists them at first.
    pub(crate) fn reset(&mut self, tree: &FrameTreeDescription) {
        self.main.clone_from(&tree.frame.id);
        let mut todo = vec![tree];
        while let Some(tree) = todo.pop() {
            self.attached(&tree.frame.id, tree.frame.parent_id.clone());
            if let Some(frame) = self.frames.get_mut(&tree.frame.id)
                && frame.loader.is_empty()
            {
                frame.describe(&tree.frame);
            }
            todo.extend(tree.child_frames.iter().rev());
        }
    }

    /// The main frame's id.
    pub(crate) fn main_id(&self) -> &FrameId {
        &self.main
    }

    /// The main frame.
    pub(crate) fn main(&self) -> Option<&Frame> {
        self.frames.get(&self.main)
    }

    /// A frame.
    pub(crate) fn get(&self, id: &str) -> Option<&Frame> {
        self.frames.get(id)
    }

    /// The ids of all frames.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &FrameId> {
        self.frames.keys()
    }

    /// All frames with their depths, parents before children, in the order of arrival.
    pub(crate) fn list(&self) -> Vec<(u32, &Frame)> {
        let mut list = Vec::with_capacity(self.frames.len());
        let mut todo: Vec<(u32, &FrameId)> = vec![(0, &self.main)];
        while let Some((depth, id)) = todo.pop() {
            let Some(frame) = self.frames.get(id) else { continue };
            list.push((depth, frame));
            let mut children: Vec<_> =
                self.frames.iter().filter(|(_, frame)| frame.parent.as_ref() == Some(id)).collect();
            children.sort_by_key(|(_, frame)| std::cmp::Reverse(frame.order));
            todo.extend(children.into_iter().map(|(id, _)| (depth + 1, id)));
        }
        list
    }

    pub(crate) fn attached(&mut self, id: &FrameId, parent: Option<FrameId>) {
        self.arrivals += 1;
        let order = self.arrivals;
        self.frames.entry(id.clone()).or_insert_with(|| Frame { parent, order, ..Frame::default() });
    }

    /// Removes a frame and those inside it; gives their ids.
    pub(crate) fn detached(&mut self, id: &str) -> Vec<FrameId> {
        let mut removed = Vec::new();
        let mut todo = vec![id.to_owned()];
        while let Some(id) = todo.pop() {
            todo.extend(
                self.frames.iter().filter(|(_, frame)| frame.parent.as_deref() == Some(&id)).map(|(id, _)| id.clone()),
            );
            if self.frames.remove(&id).is_some() {
                removed.push(id);
            }
        }
        removed
    }

    /// A frame has got another document. Gives the ids of the frames that were inside the old one.
    pub(crate) fn navigated(&mut self, description: &FrameDescription) -> Vec<FrameId> {
        self.attached(&description.id, description.parent_id.clone());
        let children: Vec<FrameId> = self
            .frames
            .iter()
            .filter(|(_, frame)| frame.parent.as_ref() == Some(&description.id))
            .map(|(id, _)| id.clone())
            .collect();
        let removed = children.iter().flat_map(|child| self.detached(child)).collect();
        if let Some(frame) = self.frames.get_mut(&description.id) {
            frame.describe(description);
            frame.loaded = BTreeSet::from([rank(LoadState::Commit)]);
            frame.navigations += 1;
            frame.navigating = Navigating::No;
        }
        removed
    }

    /// A frame has gone to another place in its document.
    pub(crate) fn navigated_within_document(&mut self, id: &str, url: String) {
        if let Some(frame) = self.frames.get_mut(id) {
            frame.set_url(url);
            frame.navigations += 1;
            if frame.navigating == Navigating::Requested {
                frame.navigating = Navigating::No;
            }
        }
    }

    /// The page has asked for a frame to navigate.
    pub(crate) fn navigation_requested(&mut self, id: &str) {
        if let Some(frame) = self.frames.get_mut(id)
            && frame.navigating == Navigating::No
        {
            frame.navigating = Navigating::Requested;
        }
    }

    /// A frame has begun to navigate to another document.
    pub(crate) fn navigation_started(&mut self, id: &str) {
        if let Some(frame) = self.frames.get_mut(id) {
            frame.navigating = Navigating::Started;
        }
    }

    /// A frame no longer navigates: it got there, or gave up.
    pub(crate) fn navigation_ended(&mut self, id: &str) {
        if let Some(frame) = self.frames.get_mut(id) {
            frame.navigating = Navigating::No;
        }
    }

    /// A document has loaded so far.
    pub(crate) fn loaded(&mut self, id: &str, loader: &str, event: &str) {
        let state = match event {
            "commit" => LoadState::Commit,
            "DOMContentLoaded" => LoadState::DomContentLoaded,
            "load" => LoadState::Load,
            "networkIdle" => LoadState::NetworkIdle,
            _ => return,
        };
        if let Some(frame) = self.frames.get_mut(id)
            && (frame.loader == loader || frame.loader.is_empty())
        {
            frame.loaded.insert(rank(state));
        }
    }

    /// A document's old script world is gone and it starts anew (`document.open`).
    pub(crate) fn load_restarted(&mut self, id: &str) {
        if let Some(frame) = self.frames.get_mut(id) {
            frame.loaded.retain(|state| *state == rank(LoadState::Commit));
        }
    }

    pub(crate) fn world_created(&mut self, frame: &str, world: World, id: WorldId) {
        if let Some(frame) = self.frames.get_mut(frame) {
            frame.worlds.insert(world, id);
        }
    }

    pub(crate) fn world_destroyed(&mut self, id: WorldId) {
        for frame in self.frames.values_mut() {
            frame.worlds.retain(|_, known| *known != id);
        }
    }

    pub(crate) fn worlds_cleared(&mut self) {
        for frame in self.frames.values_mut() {
            frame.worlds.clear();
        }
    }

    /// Whether any frame is on its way to another document.
    pub(crate) fn any_navigating(&self) -> bool {
        self.frames.values().any(|frame| frame.navigating != Navigating::No)
    }

    /// Frames that were asked to navigate and have not started: the request has come to nothing.
    pub(crate) fn forget_requests(&mut self) {
        for frame in self.frames.values_mut() {
            if frame.navigating == Navigating::Requested {
                frame.navigating = Navigating::No;
            }
        }
    }

    /// Whether any frame was asked to navigate and has not started.
    pub(crate) fn any_requested(&self) -> bool {
        self.frames.values().any(|frame| frame.navigating == Navigating::Requested)
    }

    /// Counts navigations that are under way as none.
    pub(crate) fn forget_navigations(&mut self) {
        for frame in self.frames.values_mut() {
            frame.navigating = Navigating::No;
        }
    }
}

impl Frame {
    fn describe(&mut self, description: &FrameDescription) {
        self.name = cut(&description.name, NAME_BYTES).to_owned();
        self.set_url(match &description.unreachable_url {
            Some(url) => url.clone(),
            None => format!("{}{}", description.url, description.url_fragment),
        });
        self.failed = description.unreachable_url.is_some();
        self.loader.clone_from(&description.loader_id);
    }

    /// Sets the URL; of a frame within another, as much as is remembered.
    fn set_url(&mut self, url: String) {
        self.url = if self.parent.is_none() { url } else { cut(&url, URL_BYTES).to_owned() };
    }

    /// Whether the document has loaded so far.
    pub(crate) fn has_loaded(&self, state: LoadState) -> bool {
        match state {
            LoadState::Commit => true,
            // `load` implies what comes before it, whatever order the events came in.
            _ => self.loaded.range(rank(state)..=rank(LoadState::Load).max(rank(state))).next().is_some(),
        }
    }

    /// The world's id in this document, once the browser has told it.
    pub(crate) fn world(&self, world: World) -> Option<WorldId> {
        self.worlds.get(&world).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(id: &str, parent: Option<&str>, loader: &str) -> FrameDescription {
        FrameDescription {
            id: id.into(),
            parent_id: parent.map(Into::into),
            loader_id: loader.into(),
            name: String::new(),
            url: format!("http://{id}/"),
            url_fragment: String::new(),
            unreachable_url: None,
        }
    }

    fn page() -> Frames {
        let mut frames = Frames::default();
        frames.reset(&FrameTreeDescription { frame: description("main", None, "L0"), child_frames: Vec::new() });
        frames
    }

    #[test]
    fn events_of_an_old_document_do_not_count_for_the_new_one() {
        let mut frames = page();
        frames.navigated(&description("main", None, "L1"));
        frames.loaded("main", "L0", "load");
        assert!(!frames.main().unwrap().has_loaded(LoadState::Load));
        frames.loaded("main", "L1", "load");
        assert!(frames.main().unwrap().has_loaded(LoadState::Load));
        assert!(frames.main().unwrap().has_loaded(LoadState::DomContentLoaded));
        assert!(!frames.main().unwrap().has_loaded(LoadState::NetworkIdle));
    }

    #[test]
    fn a_frame_that_goes_takes_those_inside_it_along() {
        let mut frames = page();
        frames.attached(&"a".to_owned(), Some("main".into()));
        frames.attached(&"b".to_owned(), Some("a".into()));
        let mut removed = frames.detached("a");
        removed.sort();
        assert_eq!(removed, ["a", "b"]);
        frames.attached(&"c".to_owned(), Some("main".into()));
        assert_eq!(frames.navigated(&description("main", None, "L1")), ["c"]);
        assert_eq!(frames.list().len(), 1);
    }

    #[test]
    fn the_list_has_parents_before_children_in_order_of_arrival() {
        let mut frames = page();
        for (id, parent) in [("a", "main"), ("b", "main"), ("a1", "a")] {
            frames.attached(&id.to_owned(), Some(parent.into()));
            frames.navigated(&description(id, Some(parent), "L"));
        }
        let list: Vec<_> = frames.list().into_iter().map(|(depth, frame)| (depth, frame.url.clone())).collect();
        let expected = [(0, "main"), (1, "a"), (2, "a1"), (1, "b")].map(|(depth, id)| (depth, format!("http://{id}/")));
        assert_eq!(list, expected);
    }

    #[test]
    fn a_navigation_counts_from_the_request_to_its_end() {
        let mut frames = page();
        frames.navigation_requested("main");
        assert!(frames.any_navigating() && frames.any_requested());
        frames.navigation_started("main");
        frames.forget_requests();
        assert!(frames.any_navigating() && !frames.any_requested());
        frames.navigated(&description("main", None, "L1"));
        assert!(!frames.any_navigating());
    }
}
