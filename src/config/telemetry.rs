//! `telemetry`: correlation id, access log, application log, traces.

use super::section::{Reader, Section};
use super::settings::{LogFormat, LogLevel, Telemetry, TraceHeaders};
use super::{traces, value};
use crate::yaml::Node;

pub(super) fn read(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<Telemetry> {
    let usual = Telemetry::default();
    let mut at = Section::open(reader, node, name)?;
    let correlation_header = at.or("correlation_header", value::header, usual.correlation_header);
    let service = at.or("service", value::text, usual.service);
    let environment = at.or("environment", value::text, usual.environment);
    let (log_format, log_level) = at.or("log", log, (usual.log_format, usual.log_level));
    let trace_headers =
        at.or("trace_headers", value::word(&TraceHeaders::ALL), usual.trace_headers);
    let traces = at.optional("traces", traces::read);
    at.close();
    Some(Telemetry {
        correlation_header,
        service,
        environment,
        log_format,
        log_level,
        trace_headers,
        traces,
    })
}

fn log(reader: &mut Reader<'_>, node: &Node, name: &str) -> Option<(LogFormat, LogLevel)> {
    let usual = Telemetry::default();
    let mut at = Section::open(reader, node, name)?;
    let format = at.or("format", value::word(&LogFormat::ALL), usual.log_format);
    let level = at.or("level", value::word(&LogLevel::ALL), usual.log_level);
    at.close();
    Some((format, level))
}
