use std::convert::Infallible;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{SeedableRng, TryRng};

use super::*;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

fn accept(lines: &[(&'static str, &[u8])]) -> TraceContext {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_bytes(value).unwrap());
    }
    TraceContext::accept(&headers, &mut StdRng::seed_from_u64(1))
}

fn accept_parent(traceparent: &str) -> TraceContext {
    let context = accept(&[("traceparent", traceparent.as_bytes()), ("tracestate", b"a=1")]);
    assert_ne!(context.span_id().to_string(), SPAN);
    context
}

#[track_caller]
fn check_continued(traceparent: &str, flags: &str) {
    let context = accept_parent(traceparent);
    assert_eq!(context.traceparent(), format!("00-{TRACE}-{}-{flags}", context.span_id()));
    assert_eq!(context.parent_span_id().unwrap().to_string(), SPAN);
    assert_eq!(context.is_sampled(), flags == "01" || flags == "03");
    assert_eq!(context.tracestate().unwrap(), "a=1");
}

#[track_caller]
fn check_new(traceparent: &str) {
    let context = accept_parent(traceparent);
    let (trace, span) = (context.trace_id(), context.span_id());
    assert_ne!(trace.to_string(), TRACE, "{traceparent:?}");
    assert_eq!(context.traceparent(), format!("00-{trace}-{span}-03"));
    assert_eq!(context.parent_span_id(), None);
    assert!(context.is_sampled());
    assert_eq!(context.tracestate(), None);
}

#[test]
fn traces_that_are_continued() {
    check_continued(&format!("00-{TRACE}-{SPAN}-01"), "01");
    check_continued(&format!("00-{TRACE}-{SPAN}-00"), "00");
    check_continued(&format!("00-{TRACE}-{SPAN}-03"), "03");
    check_continued(&format!("00-{TRACE}-{SPAN}-02"), "02");
    check_continued(&format!("00-{TRACE}-{SPAN}-ff"), "03");
    check_continued(&format!("00-{TRACE}-{SPAN}-08"), "00");
    check_continued(&format!("01-{TRACE}-{SPAN}-01"), "01");
    check_continued(&format!("cc-{TRACE}-{SPAN}-01-what-the-future-holds"), "01");
    check_continued(&format!("cc-{TRACE}-{SPAN}-01-"), "01");
}

#[test]
fn traces_that_begin_anew() {
    check_new("");
    check_new("00");
    check_new(&format!("ff-{TRACE}-{SPAN}-01"));
    check_new(&format!("0x-{TRACE}-{SPAN}-01"));
    check_new(&format!("00-{TRACE}-{SPAN}-01-"));
    check_new(&format!("00-{TRACE}-{SPAN}-01-more"));
    check_new(&format!("00-{TRACE}-{SPAN}-011"));
    check_new(&format!("cc-{TRACE}-{SPAN}-01.more"));
    check_new(&format!("00-{TRACE}-{SPAN}-0"));
    check_new(&format!("00-{TRACE}-{SPAN}"));
    check_new(&format!("00-{}-{SPAN}-01", TRACE.to_uppercase()));
    check_new(&format!("00-{TRACE}-{}-01", SPAN.to_uppercase()));
    check_new(&format!("00-{TRACE}-{SPAN}-0A"));
    check_new(&format!("00-{}-{SPAN}-01", "0".repeat(32)));
    check_new(&format!("00-{TRACE}-{}-01", "0".repeat(16)));
    check_new(&format!("00-{}g-{SPAN}-01", TRACE.trim_end_matches('c')));
    check_new(&format!("00_{TRACE}_{SPAN}_01"));
    check_new(&format!("00-{TRACE}{SPAN}--01"));
    check_new(&format!(" 0-{TRACE}-{SPAN}-01"));
    check_new(&format!("00-{TRACE}-{SPAN}-01,"));
}

#[test]
fn a_repeated_traceparent_begins_anew() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let context = accept(&[("traceparent", parent.as_bytes()), ("traceparent", parent.as_bytes())]);
    assert_ne!(context.trace_id().to_string(), TRACE);
}

#[track_caller]
fn check_state(lines: &[&[u8]], expected: Option<&str>) {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let mut all: Vec<(&'static str, &[u8])> = vec![("traceparent", parent.as_bytes())];
    all.extend(lines.iter().map(|line| ("tracestate", *line)));
    let context = accept(&all);
    assert_eq!(context.tracestate().map(|state| state.to_str().unwrap()), expected);
}

#[test]
fn what_becomes_of_the_state() {
    let longest = format!("a={}", "x".repeat(510));
    check_state(&[], None);
    check_state(&[b"a=1,b=2"], Some("a=1,b=2"));
    check_state(&[b"a=1", b" b=2 "], Some("a=1,b=2"));
    check_state(&[b"a=1", b""], Some("a=1"));
    check_state(&[b""], None);
    check_state(&[longest.as_bytes()], Some(&longest));
    check_state(&[longest.as_bytes(), b"b"], None);
    check_state(&[b"a=1", b"b=\xff"], None);
}

#[test]
fn a_child_stays_in_the_trace() {
    let parent = format!("00-{TRACE}-{SPAN}-00");
    let server = accept(&[("traceparent", parent.as_bytes()), ("tracestate", b"a=1")]);
    let upstream = server.child(&mut StdRng::seed_from_u64(2));
    assert_eq!(upstream.trace_id(), server.trace_id());
    assert_eq!(upstream.parent_span_id(), Some(server.span_id()));
    assert_ne!(upstream.span_id(), server.span_id());
    assert_eq!(upstream.is_sampled(), server.is_sampled());
    assert_eq!(upstream.tracestate(), server.tracestate());
    assert_eq!(upstream.traceparent(), format!("00-{TRACE}-{}-00", upstream.span_id()));
}

/// A source of randomness that is broken in the worst way.
struct Zeros;

impl TryRng for Zeros {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0);
        Ok(())
    }
}

#[test]
fn ids_are_never_all_zeros() {
    let context = TraceContext::accept(&HeaderMap::new(), &mut Zeros);
    assert_eq!(context.traceparent(), "00-01010101010101010101010101010101-0101010101010101-03");
}

proptest! {
    #[test]
    fn whatever_comes_what_goes_on_is_valid(
        parent in prop_oneof![
            "[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,9})?",
            ".{0,80}",
        ],
        state in ".{0,600}",
    ) {
        let mut headers = HeaderMap::new();
        for (name, text) in [(TRACEPARENT, parent), (TRACESTATE, state)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        let context = TraceContext::accept(&headers, &mut StdRng::seed_from_u64(1));
        let read_back = Parent::parse(context.traceparent().as_bytes()).unwrap();
        prop_assert_eq!(read_back.trace_id, context.trace_id());
        prop_assert_eq!(read_back.span_id, context.span_id());
        prop_assert!(context.tracestate().is_none_or(|state| state.len() <= 512));
    }
}

fn accept_b3(lines: &[(&'static str, &str)]) -> TraceContext {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let propagation = Propagation { b3: true, share: Share::ALL };
    propagation.accept(&headers, &mut StdRng::seed_from_u64(1))
}

/// What goes on of a trace in B3: the names of the headers and their values, with `SPAN` for ours.
fn goes_on(context: &TraceContext) -> Vec<(String, String)> {
    let ours = context.span_id().to_string();
    let shown = |value: &HeaderValue| value.to_str().unwrap().replace(&ours, "SPAN");
    context.b3().iter().map(|(name, value)| (name.to_string(), shown(value))).collect()
}

#[test]
fn b3_in_one_header() {
    for (state, sampled) in
        [("", "1"), ("-1", "1"), ("-d", "1"), ("-0", "0"), ("-1-05e3ac9a4f6e3b90", "1")]
    {
        let context = accept_b3(&[("b3", &format!("{TRACE}-{SPAN}{state}"))]);
        assert_eq!(context.trace_id().to_string(), TRACE);
        assert_eq!(context.parent_span_id().unwrap().to_string(), SPAN);
        assert_eq!(context.is_sampled(), sampled == "1", "{state}");
        assert_eq!(goes_on(&context), [("b3".into(), format!("{TRACE}-SPAN-{sampled}"))]);
    }
}

#[test]
fn b3_in_several_headers() {
    let short = TRACE.split_at(16).1;
    let context =
        accept_b3(&[("x-b3-traceid", short), ("x-b3-spanid", SPAN), ("x-b3-sampled", "0")]);
    let trace = format!("{}{short}", "0".repeat(16));
    assert_eq!(context.trace_id().to_string(), trace);
    assert_eq!(
        goes_on(&context),
        [
            ("x-b3-traceid".into(), trace),
            ("x-b3-spanid".into(), "SPAN".into()),
            ("x-b3-sampled".into(), "0".into())
        ]
    );
    let debugged = accept_b3(&[
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "0"),
        ("x-b3-flags", "1"),
    ]);
    assert!(debugged.is_sampled());
}

#[test]
fn b3_that_does_not_hold_begins_a_trace() {
    for value in [
        "0",
        "",
        &format!("{TRACE}-{SPAN}-x"),
        &format!("{TRACE}-{SPAN}-1-z"),
        TRACE,
        &format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90-1"),
        &format!("{}-{SPAN}", "0".repeat(32)),
    ] {
        let context = accept_b3(&[("b3", value)]);
        assert_eq!(context.parent_span_id(), None, "{value}");
        assert_eq!(goes_on(&context), []);
    }
    let twice =
        accept_b3(&[("x-b3-traceid", TRACE), ("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)]);
    assert_eq!(twice.parent_span_id(), None);
}

#[test]
fn w3c_goes_before_b3_and_b3_is_not_read_unasked() {
    let both = [
        ("traceparent", format!("00-{TRACE}-{SPAN}-01")),
        ("b3", format!("{TRACE}-{}-0", "1".repeat(16))),
    ];
    let both: Vec<(&str, &str)> =
        both.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let context = accept_b3(&both);
    assert_eq!(context.parent_span_id().unwrap().to_string(), SPAN);
    assert_eq!(goes_on(&context), [("b3".into(), format!("{TRACE}-SPAN-1"))]);
    let unasked = accept(&[("b3", format!("{TRACE}-{SPAN}-1").as_bytes())]);
    assert_eq!(unasked.parent_span_id(), None);
}

#[test]
fn a_new_trace_is_marked_by_the_share() {
    let mut random = StdRng::seed_from_u64(7);
    let headers = HeaderMap::new();
    for share in [Share::NONE, Share::new(0.5).unwrap(), Share::ALL] {
        let propagation = Propagation { b3: false, share };
        for _ in 0..100 {
            let context = propagation.accept(&headers, &mut random);
            assert_eq!(context.is_sampled(), share.keeps(context.trace_id()));
        }
    }
    // What the client decided is not decided again.
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, format!("00-{TRACE}-{SPAN}-01").parse().unwrap());
    assert!(
        Propagation { b3: false, share: Share::NONE }.accept(&headers, &mut random).is_sampled()
    );
}
