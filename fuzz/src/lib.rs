//! What the fuzz targets run: plain functions of bytes.

pub mod codecs;
