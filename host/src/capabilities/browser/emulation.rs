//! How pages see the device: viewport, media, language, time zone.

use chromiumoxide_cdp::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams, SetHardwareConcurrencyOverrideParams,
    SetLocaleOverrideParams, SetTimezoneOverrideParams, SetTouchEmulationEnabledParams, SetUserAgentOverrideParams,
    SetUserAgentOverrideReturns,
};
use chromiumoxide_cdp::cdp::browser_protocol::page::AddScriptToEvaluateOnNewDocumentParams;
use chromiumoxide_cdp::cdp::browser_protocol::security::SetIgnoreCertificateErrorsParams;
use chromiumoxide_cdp::cdp::browser_protocol::target::SetAutoAttachParams;
use chromiumoxide_cdp::cdp::js_protocol::runtime::EvaluateParams;
use chromiumoxide_types::{Command, Method, MethodId};
use serde::Serialize;

use super::super::fingerprint::{Device, Hints};
use super::cdp::{CdpError, Pending, Session};
use super::chromium::only;
use super::context::Settings;
use super::page::Page;
use super::requests::check_headers;
use crate::contract::Error;
use crate::contract::browser as wit;

/// How large a viewport's side may be, in CSS pixels.
const MAX_SIDE: u32 = 10_000;

fn metrics(viewport: &wit::Viewport) -> SetDeviceMetricsOverrideParams {
    SetDeviceMetricsOverrideParams::new(
        i64::from(viewport.width),
        i64::from(viewport.height),
        viewport.scale.unwrap_or(1.0),
        viewport.mobile.unwrap_or(false),
    )
}

fn touch(viewport: &wit::Viewport) -> SetTouchEmulationEnabledParams {
    SetTouchEmulationEnabledParams::new(viewport.touch.unwrap_or(false))
}

/// Changes the user agent with its client hints: the generated command lacks some of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShowDevice {
    user_agent: String,
    accept_language: String,
    platform: String,
    user_agent_metadata: Hints,
}

impl ShowDevice {
    fn of(device: &Device, accept_language: Option<&String>) -> Self {
        Self {
            user_agent: device.user_agent(),
            accept_language: accept_language.cloned().unwrap_or_else(|| device.accept_language()),
            platform: device.profile.platform.clone(),
            user_agent_metadata: device.hints(),
        }
    }
}

impl Method for ShowDevice {
    fn identifier(&self) -> MethodId {
        SetUserAgentOverrideParams::IDENTIFIER.into()
    }
}

impl Command for ShowDevice {
    type Response = SetUserAgentOverrideReturns;
}

/// Has the dedicated workers of a target attached, and held until they show the device.
fn attach_workers() -> SetAutoAttachParams {
    let mut attach = SetAutoAttachParams::new(true, true);
    attach.flatten = Some(true);
    attach.filter = Some(only(&["worker"]));
    attach
}

/// Sends a worker what makes it show the device, while it is held at its start.
pub(super) fn emulate_in_worker(session: &Session, device: &Device) {
    session.tell(&ShowDevice::of(device, None));
    session.tell(&SetHardwareConcurrencyOverrideParams::new(device.profile.cores));
    session.tell(&EvaluateParams::new(show_memory(device)));
    // No command reaches this in a worker.
    let platform = serde_json::Value::from(device.profile.platform.as_str());
    session.tell(&EvaluateParams::new(format!(
        "Object.defineProperty(WorkerNavigator.prototype, 'platform', \
         {{ get: () => {platform}, configurable: true, enumerable: true }}); 0"
    )));
    session.tell(&attach_workers());
}

/// Has scripts see the memory of the device where browsers tell it, which no command does.
fn show_memory(device: &Device) -> String {
    let memory = device.profile.memory;
    format!(
        "for (const {{ prototype }} of [self.Navigator, self.WorkerNavigator].filter(Boolean))
            if ('deviceMemory' in prototype)
                Object.defineProperty(prototype, 'deviceMemory',
                    {{ get: () => {memory}, configurable: true, enumerable: true }}); 0"
    )
}

/// How long a user agent, language or time zone may be, in bytes.
const NAME_BYTES: usize = 1_000;

/// Whether a context can be made so.
pub(super) fn check_options(options: &wit::ContextOptions) -> Result<(), Error> {
    options.viewport.as_ref().map_or(Ok(()), check_viewport)?;
    check_headers(options.extra_headers.as_deref().unwrap_or_default())?;
    let mut names = [&options.user_agent, &options.locale, &options.timezone].into_iter().flatten();
    match names.find(|name| name.len() > NAME_BYTES || name.contains(char::is_control)) {
        Some(_) => Err(Error::Invalid(format!(
            "user agent, locale and time zone have at most {NAME_BYTES} bytes and no control characters"
        ))),
        None => Ok(()),
    }
}

/// Whether a viewport can be shown.
fn check_viewport(viewport: &wit::Viewport) -> Result<(), Error> {
    let sides = 1..=MAX_SIDE;
    if !sides.contains(&viewport.width) || !sides.contains(&viewport.height) {
        return Err(Error::Invalid(format!("a viewport's width and height go from 1 to {MAX_SIDE}")));
    }
    match viewport.scale {
        Some(scale) if !(0.1..=10.0).contains(&scale) => {
            Err(Error::Invalid("a viewport's scale goes from 0.1 to 10".to_owned()))
        }
        _ => Ok(()),
    }
}

fn scheme_name(scheme: wit::ColorScheme) -> &'static str {
    match scheme {
        wit::ColorScheme::Light => "light",
        wit::ColorScheme::Dark => "dark",
        wit::ColorScheme::NoPreference => "no-preference",
    }
}

impl Settings {
    /// The colour scheme of the device that is shown, if one is.
    fn color_scheme(&self) -> Option<wit::ColorScheme> {
        let dark = self.device.get()?.profile.dark;
        Some(if dark { wit::ColorScheme::Dark } else { wit::ColorScheme::Light })
    }
}

impl Page {
    /// Sends what makes a new page see the device as its context says.
    pub(super) fn begin_emulation(&self) -> Result<Vec<Pending>, CdpError> {
        let (session, options, settings) = (&self.session, &self.context.options, &self.context.settings);
        let mut pending = Vec::new();
        let device = settings.device.get();
        if let Some(device) = device {
            pending.push(session.begin(&SetHardwareConcurrencyOverrideParams::new(device.profile.cores))?);
            let mut memory = AddScriptToEvaluateOnNewDocumentParams::new(show_memory(device));
            memory.run_immediately = Some(true);
            pending.push(session.begin(&memory)?);
            pending.push(session.begin(&attach_workers())?);
        }
        if let Some(device) = device.filter(|_| options.viewport.is_none()) {
            let profile = &device.profile;
            let (width, height) = profile.viewport;
            let mut metrics =
                SetDeviceMetricsOverrideParams::new(width, height, profile.pixel_ratio, profile.is_handheld());
            metrics.screen_width = Some(profile.screen.0.into());
            metrics.screen_height = Some(profile.screen.1.into());
            pending.push(session.begin(&metrics)?);
            let mut touch = SetTouchEmulationEnabledParams::new(profile.touch_points > 0);
            touch.max_touch_points = Some(profile.touch_points.max(1).into());
            pending.push(session.begin(&touch)?);
        } else if let Some(viewport) = options.viewport.as_ref().or(settings.viewport.as_ref()) {
            pending.push(session.begin(&metrics(viewport))?);
            pending.push(session.begin(&touch(viewport))?);
        }
        let language = device.map(|device| device.locale().to_owned());
        let locale = options.locale.as_ref().or(language.as_ref()).or(settings.locale.as_ref());
        if let Some(device) = device.filter(|_| options.user_agent.is_none()) {
            pending.push(session.begin(&ShowDevice::of(device, options.locale.as_ref()))?);
        } else if let Some(user_agent) = options.user_agent.as_ref().or(settings.user_agent.as_ref()) {
            let mut command = SetUserAgentOverrideParams::new(user_agent);
            command.accept_language = locale.cloned();
            pending.push(session.begin(&command)?);
        } else if let Some(locale) = locale {
            // Empty means the browser's own.
            let mut command = SetUserAgentOverrideParams::new("");
            command.accept_language = Some(locale.clone());
            pending.push(session.begin(&command)?);
        }
        if let Some(locale) = locale {
            pending.push(session.begin(&SetLocaleOverrideParams { locale: Some(locale.clone()) })?);
        }
        let timezone = device.map_or(settings.timezone.as_ref(), |device| device.timezone.as_ref());
        if let Some(timezone) = options.timezone.as_ref().or(timezone) {
            pending.push(session.begin(&SetTimezoneOverrideParams::new(timezone))?);
        }
        let shown = settings.color_scheme();
        if let Some(scheme) = options.color_scheme.or(shown) {
            let feature = MediaFeature::new("prefers-color-scheme", scheme_name(scheme));
            pending.push(session.begin(&SetEmulatedMediaParams { media: None, features: Some(vec![feature]) })?);
        }
        if options.ignore_https_errors == Some(true) {
            pending.push(session.begin(&SetIgnoreCertificateErrorsParams::new(true))?);
        }
        pending.push(session.begin(&self.context.extra_headers_with(&[]))?);
        for script in self.context.init_scripts() {
            pending.push(session.begin(&script)?);
        }
        Ok(pending)
    }

    /// Sets the viewport.
    pub(crate) async fn set_viewport(&self, viewport: wit::Viewport) -> Result<(), Error> {
        check_viewport(&viewport)?;
        self.session.call(metrics(&viewport)).await.map_err(|error| self.error(error))?;
        self.session.call(touch(&viewport)).await.map_err(|error| self.error(error))?;
        Ok(())
    }

    /// Sets how the page sees the device. What is not given stays as it is.
    pub(crate) async fn emulate_media(&self, options: wit::MediaOptions) -> Result<(), Error> {
        if options.media.as_deref().is_some_and(|media| !matches!(media, "" | "screen" | "print")) {
            return Err(Error::Invalid("the media is `screen`, `print` or empty".to_owned()));
        }
        let (media, features) = self.change(|state| {
            let known = &mut state.media;
            if let Some(media) = options.media {
                known.kind = media;
            }
            let of_context = self.context.options.color_scheme.or(self.context.settings.color_scheme());
            if let Some(scheme) = options.color_scheme.or(of_context.filter(|_| known.color_scheme.is_none())) {
                known.color_scheme = Some(scheme_name(scheme));
            }
            if let Some(reduced) = options.reduced_motion {
                known.reduced_motion = Some(if reduced { "reduce" } else { "no-preference" });
            }
            let features =
                [("prefers-color-scheme", known.color_scheme), ("prefers-reduced-motion", known.reduced_motion)];
            let features = features.into_iter().filter_map(|(name, value)| Some(MediaFeature::new(name, value?)));
            (known.kind.clone(), features.collect())
        });
        let command = SetEmulatedMediaParams { media: Some(media), features: Some(features) };
        self.session.call(command).await.map_err(|error| self.error(error))?;
        Ok(())
    }
}
