//! Readers cost the server nothing: no picture, no memory, no descriptor, whatever they do and however many they are.

mod bounds;
mod pictures;
mod readers;
