//! Spans, sent to an OpenTelemetry collector where the standard's environment variables name one.
//!
//! They are exported in batches by a thread of their own, over HTTP; a collector that is away costs nothing but its
//! spans.

use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::registry::LookupSpan;

/// The variables that name a collector (OpenTelemetry Protocol Exporter specification).
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// How long the last spans may take to be sent.
const LAST: Duration = Duration::from_secs(5);

/// Sends spans for as long as it is kept.
pub(crate) struct Telemetry(SdkTracerProvider);

impl Telemetry {
    /// What the environment asks for. To be made before there is a runtime: the exporter has its own.
    pub(crate) fn from_environment() -> Option<Self> {
        ENDPOINTS.iter().find(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))?;
        match SpanExporter::builder().with_http().build() {
            Ok(exporter) => {
                let resource = Resource::builder().with_service_name("armada").build();
                Some(Self(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
            }
            Err(error) => {
                // Logging is not set up yet.
                crate::mistakes::tell(
                    &anyhow::anyhow!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}: no spans are sent"),
                    false,
                );
                None
            }
        }
    }

    /// What hears of spans.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'s> LookupSpan<'s>,
    {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("armada")).with_filter(LevelFilter::INFO)
    }
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        // Whether the collector takes the last ones is its own affair.
        let _ = self.0.shutdown_with_timeout(LAST);
    }
}
