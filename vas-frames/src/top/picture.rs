//! A small picture in a terminal: kitty's graphics or sixel where the terminal says that it has them, half blocks elsewhere.

use base64::Engine;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Write};
use std::time::{Duration, Instant};
use vas_shm_reader::convert::{Filter, ModelInput};
use vas_shm_reader::{Frame, Nv12};

/// How a picture gets onto the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Means {
    /// Ask the terminal
    Auto,
    /// Kitty's graphics protocol
    Kitty,
    /// Sixel
    Sixel,
    /// Two pixels a character, by colours
    Blocks,
    /// No picture
    None,
}

/// A terminal answers within milliseconds, over a slow line within some tenths of a second.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// Kitty's number of our picture: any, the same for each that takes its place.
const KITTY_ID: u32 = 7_351;
/// Kitty takes a picture in pieces of at most so many characters.
const KITTY_PIECE: usize = 4096;
/// A larger picture costs a slow line more than it shows.
const MOST_PIXELS: u32 = 800;

/// A picture that is small enough to be shown.
#[derive(Debug)]
pub(super) struct Small {
    pub(super) width: u32,
    pub(super) height: u32,
    /// Three bytes a pixel.
    pub(super) rgb: Vec<u8>,
}

impl Small {
    pub(super) fn pixel(&self, x: u32, y: u32) -> [u8; 3] {
        let at = (y * self.width + x) as usize * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }
}

/// Asks the terminal what it can: whether it takes a picture of kitty's, and which extensions it has. To be called in raw mode,
/// before anybody else reads the keyboard. What does not answer can nothing.
pub(super) fn ask_terminal() -> Means {
    let mut stdout = io::stdout();
    let question = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c";
    if stdout.write_all(question.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        return Means::Blocks;
    }
    let mut answer = Vec::new();
    let until = Instant::now() + ANSWER_WITHIN;
    // Every terminal answers the second question, and answers it last.
    while !has_attributes(&answer) {
        let left = until.saturating_duration_since(Instant::now());
        let stdin = io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(left.subsec_nanos()) };
        if left.is_zero() || !poll(&mut fds, Some(&timeout)).is_ok_and(|ready| ready > 0) {
            break;
        }
        let mut bytes = [0; 256];
        // Past the buffer of standard input, in which what was typed meanwhile would be lost to others.
        match rustix::io::read(&stdin, &mut bytes) {
            Ok(0) | Err(_) => break,
            Ok(len) => answer.extend_from_slice(&bytes[..len]),
        }
    }
    understand(&String::from_utf8_lossy(&answer))
}

fn has_attributes(answer: &[u8]) -> bool {
    attributes(&String::from_utf8_lossy(answer)).is_some()
}

/// What stands in the answer `ESC [ ? 6 2 ; 4 c`.
fn attributes(answer: &str) -> Option<&str> {
    let (_, rest) = answer.split_once("\x1b[?")?;
    let (attributes, _) = rest.split_once('c')?;
    Some(attributes)
}

fn understand(answer: &str) -> Means {
    if answer.contains("_Gi=31;OK") {
        Means::Kitty
    } else if attributes(answer)
        .is_some_and(|attributes| attributes.split(';').any(|attribute| attribute == "4"))
    {
        Means::Sixel
    } else {
        Means::Blocks
    }
}

/// The largest picture of this shape in so many pixels: no larger than it is, nor than is shown at most.
fn fitted(picture: &Nv12, most: (u32, u32)) -> (u32, u32) {
    let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
    // All limits come before the fitting: one that cut width and height afterwards would change the shape.
    let limit = |most: u32, own: u32| u64::from(most.min(own).clamp(1, MOST_PIXELS));
    let (most_width, most_height) = (limit(most.0, picture.width()), limit(most.1, picture.height()));
    let by_width = (most_width, (height * most_width / width).max(1));
    let by_height = ((width * most_height / height).max(1), most_height);
    let (width, height) = if by_width.1 <= most_height { by_width } else { by_height };
    (width as u32, height as u32)
}

/// A frame made small enough for so many pixels. `None` if it was overwritten meanwhile: the next one comes soon.
pub(super) fn small(frame: &Frame<'_>, most: (u32, u32)) -> Option<Small> {
    let (width, height) = fitted(frame.picture(), most);
    let input = ModelInput::new(width, height).stretch().filter(Filter::Box);
    let (picture, _) = frame.to_model_input(&input).ok()?;
    Some(Small { width, height, rgb: picture.bytes })
}

/// The picture as kitty takes it, over so many columns and rows of characters from the cursor on.
pub(super) fn kitty(small: &Small, columns: u16, rows: u16) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(&small.rgb);
    let pieces: Vec<&str> =
        encoded.as_bytes().chunks(KITTY_PIECE).filter_map(|piece| str::from_utf8(piece).ok()).collect();
    let mut text = String::new();
    for (index, piece) in pieces.iter().enumerate() {
        let more = u8::from(index + 1 < pieces.len());
        let head = match index {
            0 => format!(
                "a=T,f=24,s={},v={},c={columns},r={rows},i={KITTY_ID},p=1,q=2,C=1,",
                small.width, small.height
            ),
            _ => String::new(),
        };
        text.push_str(&format!("\x1b_G{head}m={more};{piece}\x1b\\"));
    }
    text
}

/// Takes kitty's picture away.
pub(super) fn kitty_delete() -> String {
    format!("\x1b_Ga=d,d=I,i={KITTY_ID},q=2\x1b\\")
}

/// The picture as sixel, in the 216 colours of a cube.
pub(super) fn sixel(small: &Small) -> String {
    const STEPS: u32 = 6;
    let step = |value: u8| (u32::from(value) * (STEPS - 1) + 127) / 255;
    let mut text = format!("\x1bPq\"1;1;{};{}", small.width, small.height);
    for color in 0..STEPS * STEPS * STEPS {
        let percent = |step: u32| step * 100 / (STEPS - 1);
        let (red, green, blue) = (color / STEPS / STEPS, color / STEPS % STEPS, color % STEPS);
        text.push_str(&format!("#{color};2;{};{};{}", percent(red), percent(green), percent(blue)));
    }
    for band in (0..small.height).step_by(6) {
        // Of each colour in this band of six rows: which of the six each column has of it.
        let mut bits = vec![None::<Vec<u8>>; (STEPS * STEPS * STEPS) as usize];
        for y in band..small.height.min(band + 6) {
            for x in 0..small.width {
                let [red, green, blue] = small.pixel(x, y).map(step);
                let color = ((red * STEPS + green) * STEPS + blue) as usize;
                let columns = bits[color].get_or_insert_with(|| vec![0; small.width as usize]);
                columns[x as usize] |= 1 << (y - band);
            }
        }
        for (color, columns) in bits.iter().enumerate() {
            let Some(columns) = columns else { continue };
            text.push_str(&format!("#{color}"));
            for run in columns.chunk_by(|one, other| one == other) {
                let sign = char::from(63 + run[0]);
                match run.len() {
                    1..4 => text.extend(std::iter::repeat_n(sign, run.len())),
                    len => text.push_str(&format!("!{len}{sign}")),
                }
            }
            text.push('$');
        }
        text.push('-');
    }
    text.push_str("\x1b\\");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_believed_and_one_that_says_nothing_gets_blocks() {
        assert_eq!(understand("\x1b_Gi=31;OK\x1b\\\x1b[?62;c"), Means::Kitty);
        assert_eq!(understand("\x1b[?62;4;22c"), Means::Sixel);
        assert_eq!(understand("\x1b[?64;22c"), Means::Blocks);
        assert_eq!(understand("\x1b[?1;2c"), Means::Blocks);
        assert_eq!(understand(""), Means::Blocks);
    }

    #[test]
    fn a_picture_keeps_its_shape_and_never_grows() {
        let picture = |width, height| Nv12::for_picture(width, height).expect("a picture");
        assert_eq!(fitted(&picture(1920, 1080), (80, 100)), (80, 45));
        assert_eq!(fitted(&picture(1080, 1920), (80, 80)), (45, 80));
        assert_eq!(fitted(&picture(16, 16), (80, 80)), (16, 16));
        assert_eq!(fitted(&picture(160, 16), (80, 800)), (80, 8));
        // Also where it is limited by what is shown at most, and not by the terminal.
        assert_eq!(fitted(&picture(1920, 1080), (1920, 920)), (800, 450));
        assert_eq!(fitted(&picture(1080, 1920), (4000, 4000)), (450, 800));
        assert_eq!(fitted(&picture(16384, 1), (80, 80)), (80, 1));
        assert_eq!(fitted(&picture(1, 16384), (0, 0)), (1, 1));
    }

    #[test]
    fn kitty_gets_its_picture_in_pieces_of_which_the_last_says_so() {
        let small = Small { width: 100, height: 50, rgb: vec![7; 15_000] };
        let text = kitty(&small, 50, 12);
        let pieces: Vec<&str> = text.split_terminator("\x1b\\").collect();
        assert_eq!(pieces.len(), 5);
        assert!(pieces[0].starts_with("\x1b_Ga=T,f=24,s=100,v=50,c=50,r=12,") && pieces[0].contains(",m=1;"));
        assert!(pieces[4].starts_with("\x1b_Gm=0;"));
        let encoded: String =
            pieces.iter().filter_map(|piece| piece.split_once(';').map(|(_, data)| data)).collect();
        assert_eq!(base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64"), small.rgb);
    }

    #[test]
    fn sixel_has_each_colour_once_a_band_and_runs_are_counted() {
        let small = Small { width: 8, height: 7, rgb: vec![255; 8 * 7 * 3] };
        let text = sixel(&small);
        assert!(text.starts_with("\x1bPq\"1;1;8;7#0;2;0;0;0#1;2;0;0;20"), "{text}");
        // Six white rows, then one.
        assert!(text.ends_with("#215!8~$-#215!8@$-\x1b\\"), "{text}");
    }
}
