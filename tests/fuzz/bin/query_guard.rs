#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fieldgate_fuzz::query_guard(bytes));
