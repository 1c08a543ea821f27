//! Any bytes as an encoded column, and as the values of one.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fleetlog_fuzz::codecs::run(input));
