//! How pages see the device: viewport, media, language, time zone.

use chromiumoxide_cdp::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams, SetLocaleOverrideParams,
    SetTimezoneOverrideParams, SetTouchEmulationEnabledParams, SetUserAgentOverrideParams,
};
use chromiumoxide_cdp::cdp::browser_protocol::security::SetIgnoreCertificateErrorsParams;

use super::cdp::{CdpError, Pending};
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

impl Page {
    /// Sends what makes a new page see the device as its context says.
    pub(super) fn begin_emulation(&self) -> Result<Vec<Pending>, CdpError> {
        let (session, options, settings) = (&self.session, &self.context.options, &self.context.settings);
        let mut pending = Vec::new();
        if let Some(viewport) = options.viewport.as_ref().or(settings.viewport.as_ref()) {
            pending.push(session.begin(&metrics(viewport))?);
            pending.push(session.begin(&touch(viewport))?);
        }
        let locale = options.locale.as_ref().or(settings.locale.as_ref());
        if let Some(user_agent) = options.user_agent.as_ref().or(settings.user_agent.as_ref()) {
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
        if let Some(timezone) = options.timezone.as_ref().or(settings.timezone.as_ref()) {
            pending.push(session.begin(&SetTimezoneOverrideParams::new(timezone))?);
        }
        if let Some(scheme) = options.color_scheme {
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
            if let Some(scheme) =
                options.color_scheme.or(self.context.options.color_scheme.filter(|_| known.color_scheme.is_none()))
            {
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
