#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fieldgate_fuzz::write_back(bytes));
