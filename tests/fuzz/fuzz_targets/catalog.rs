#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| monthend_fuzz::targets::catalog::target(data));
