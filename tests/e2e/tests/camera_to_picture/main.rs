//! Camera to picture: a camera process, a server process, reader processes.

mod attach;
mod clients;
mod encrypted;
mod export_off;
mod gstreamer;
mod languages;
mod life;
mod network;
mod probe;
mod readers;
mod refusals;
mod same_pictures;
mod secrets;
mod snapshot;
