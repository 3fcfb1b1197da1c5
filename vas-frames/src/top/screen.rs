//! `top` in a terminal: the table, and one camera with its picture. The terminal is given back as it was on every way out.

use super::picture::{self, Means, Small};
use super::watched::{Row, Watched};
use super::{Arguments, HEADINGS, TURN, cells};
use crate::failure::Failure;
use crate::list::base_failure;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode, window_size};
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, OFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use vas_shm_reader::{CameraId, Reader};

/// How often the picture of one camera is drawn anew.
const PICTURE_INTERVAL: Duration = Duration::from_millis(100);
/// How long after a signal this may go on by itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pixels of a character where the terminal does not say.
const USUAL_CELL: (u32, u32) = (8, 16);
/// The end of a picture that was begun, the first screen, and its cursor.
const GIVE_BACK: &[u8] = b"\x1b\\\x1b[?1049l\x1b[?25h";

/// The terminal in its other state. Ratatui's panic hook gives it back before a panic is printed, this in all other cases.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing back.
        let _ = ratatui::try_restore();
    }
}

/// What is shown.
struct View {
    table: TableState,
    /// By its id: its row changes when others come and go.
    selected: Option<CameraId>,
    /// One camera with its picture, and not the table.
    is_one: bool,
    means: Means,
    /// What stands on the screen by kitty's graphics or sixel. Ratatui knows nothing of it, and draws around it.
    drawn: Option<Drawn>,
}

/// A picture on the screen that is no characters.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Drawn {
    camera: CameraId,
    width: u32,
    height: u32,
}

/// Which camera is chosen next.
#[derive(Clone, Copy, Debug)]
enum Step {
    Previous,
    Next,
    First,
    Last,
}

impl View {
    fn new(means: Means) -> Self {
        Self { table: TableState::default(), selected: None, is_one: false, means, drawn: None }
    }

    /// To be called with each new table. Where the chosen camera is gone, the table chooses the one that took its place; who looks
    /// at one camera goes on looking at that one.
    fn settle(&mut self, rows: &[Row]) {
        if self.is_one {
            return;
        }
        let at = self.selected.map_or(0, |id| rows.partition_point(|row| row.camera < id));
        let at = (!rows.is_empty()).then(|| at.min(rows.len() - 1));
        // With no camera at all, the choice waits for its camera to come back.
        self.selected = at.map(|at| rows[at].camera).or(self.selected);
        self.table.select(at);
    }

    fn choose(&mut self, rows: &[Row], step: Step) {
        let row = match step {
            Step::Previous => rows.iter().rfind(|row| Some(row.camera) < self.selected),
            Step::Next => rows.iter().find(|row| Some(row.camera) > self.selected),
            Step::First => rows.first(),
            Step::Last => rows.last(),
        };
        self.selected = row.map(|row| row.camera).or(self.selected);
    }
}

pub(super) fn run(base: &Path, mut watched: Watched, arguments: &Arguments) -> Result<(), Failure> {
    let signal = listen()?;
    let means = match arguments.picture {
        Means::Auto => {
            enable_raw_mode()?;
            let means = picture::ask_terminal();
            // Should the next step fail, nothing is left behind.
            disable_raw_mode()?;
            means
        }
        chosen => chosen,
    };
    let done = {
        let mut screen = Screen(ratatui::try_init()?);
        let mut view = View::new(means);
        let done = show(base, &mut watched, arguments, &mut screen, &mut view, &signal);
        // Not every terminal takes kitty's pictures away with the screen that they are on.
        let _ = take_away(&mut screen.0, &mut view);
        done
    };
    // Only now, with the terminal as it was.
    if let Ok(Some(signal)) = done {
        signal_hook::low_level::emulate_default_handler(signal)?;
    }
    done.map(|_| ())
}

/// Shows until a key or a signal ends it; the signal.
fn show(
    base: &Path,
    watched: &mut Watched,
    arguments: &Arguments,
    Screen(terminal): &mut Screen,
    view: &mut View,
    signal: &AtomicI32,
) -> Result<Option<i32>, Failure> {
    let mut drawn = 0;
    let mut rows = Vec::new();
    let mut next_rows = Instant::now();
    let mut next_draw = Instant::now();
    loop {
        let came = signal.load(Ordering::Relaxed);
        if came != 0 {
            return Ok(Some(came));
        }
        watched.turn().map_err(|error| base_failure(base, error))?;
        let now = Instant::now();
        if now >= next_rows {
            rows = watched.rows();
            next_rows = now + arguments.interval;
            drawn += 1;
            next_draw = now;
        }
        if now >= next_draw {
            let interval = if view.is_one { PICTURE_INTERVAL } else { arguments.interval };
            next_draw = now + interval;
            draw(terminal, base, watched, &rows, view)?;
            if arguments.count.is_some_and(|count| drawn > count) {
                return Ok(None);
            }
        }
        if !is_terminal_there(TURN) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
        }
        if !event::poll(Duration::ZERO)? {
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind != KeyEventKind::Release => match key.code {
                KeyCode::Char('q') => return Ok(None),
                // In raw mode it is a key, and no signal.
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                    return Ok(Some(SIGINT));
                }
                KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if view.is_one => view.is_one = false,
                KeyCode::Esc => return Ok(None),
                KeyCode::Enter | KeyCode::Right if !rows.is_empty() => view.is_one = true,
                KeyCode::Up | KeyCode::Char('k') => view.choose(&rows, Step::Previous),
                KeyCode::Down | KeyCode::Char('j') => view.choose(&rows, Step::Next),
                KeyCode::Home => view.choose(&rows, Step::First),
                KeyCode::End => view.choose(&rows, Step::Last),
                _ => {}
            },
            Event::Resize(..) => clean(terminal, view)?,
            _ => {}
        }
        next_draw = Instant::now();
    }
}

/// The number of the signal that came, 0 before. A thread of its own hears it: should this program be caught in its terminal,
/// the thread ends it.
fn listen() -> io::Result<Arc<AtomicI32>> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    let came = Arc::new(AtomicI32::new(0));
    let ours = Arc::clone(&came);
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            ours.store(signal, Ordering::Relaxed);
            std::thread::sleep(PATIENCE);
            give_back();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    })?;
    Ok(came)
}

/// Gives the terminal back from beside the main thread, as far as that goes without waiting for anything: ratatui would wait for
/// standard output's lock, which the main thread holds while the terminal takes no bytes.
fn give_back() {
    let _ = disable_raw_mode();
    // Opened anew, so that nobody else's writes to it stop waiting. The first is not ours to open after `su`.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |path: &str| fs::open(path, flags, fs::Mode::empty());
    if let Ok(terminal) = open("/proc/self/fd/1").or_else(|_| open("/dev/tty")) {
        let _ = rustix::io::write(&terminal, GIVE_BACK);
    }
}

/// Waits for a key, at most so long. Whether the terminal still is one: crossterm would read the end of one that was closed
/// again and again, and never come back.
fn is_terminal_there(at_most: Duration) -> bool {
    let stdin = io::stdin();
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(at_most.subsec_nanos()) };
    // Interrupted by a signal: it is looked at next.
    let _ = poll(&mut fds, Some(&timeout));
    !fds[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

/// Takes a picture of kitty or sixel off the screen, if one stands there: the characters that are drawn next would not.
fn take_away(terminal: &mut ratatui::DefaultTerminal, view: &mut View) -> io::Result<()> {
    if view.drawn.is_none() { Ok(()) } else { clean(terminal, view) }
}

/// An empty screen, on which all of the next drawing is drawn.
fn clean(terminal: &mut ratatui::DefaultTerminal, view: &mut View) -> io::Result<()> {
    view.drawn = None;
    if view.means == Means::Kitty {
        write!(io::stdout(), "{}", picture::kitty_delete())?;
    }
    // And not `clear`, which asks the terminal where its cursor is, and fails where no answer comes.
    let size = terminal.size()?;
    terminal.resize(size.into())
}

fn draw(
    terminal: &mut ratatui::DefaultTerminal,
    base: &Path,
    watched: &Watched,
    rows: &[Row],
    view: &mut View,
) -> io::Result<()> {
    // Cameras come and go.
    view.settle(rows);
    let Some(id) = view.selected.filter(|_| view.is_one) else {
        take_away(terminal, view)?;
        terminal.draw(|frame| draw_table(frame, base, rows, &mut view.table))?;
        return Ok(());
    };
    let row = rows.iter().find(|row| row.camera == id).cloned().unwrap_or_else(|| Row::gone(id));
    let size = terminal.size()?;
    let area = picture_area(Rect::new(0, 0, size.width, size.height));
    let cell = cell_pixels();
    let is_blocks = !matches!(view.means, Means::Kitty | Means::Sixel);
    let most = if is_blocks {
        (u32::from(area.width), u32::from(area.height) * 2)
    } else {
        (u32::from(area.width) * cell.0, u32::from(area.height) * cell.1)
    };
    let standing = watched
        .stream(&id)
        .and_then(|stream| stream.reader())
        .and_then(Reader::last_picture)
        .filter(|_| view.means != Means::None && area.height > 0);
    let is_standing = standing.is_some();
    let small = standing.and_then(|frame| picture::small(&frame, most));
    let drawn = match &small {
        _ if is_blocks => None,
        Some(small) => Some(Drawn { camera: id, width: small.width, height: small.height }),
        // Overwritten meanwhile: the next one comes soon, and until then the one before it may stay.
        None => view.drawn.filter(|drawn| is_standing && drawn.camera == id),
    };
    if drawn != view.drawn {
        take_away(terminal, view)?;
    }
    terminal.draw(|frame| draw_one(frame, &row, area, small.as_ref().filter(|_| is_blocks)))?;
    if let (Some(small), false) = (small, is_blocks) {
        terminal.set_cursor_position(Position::new(area.x, area.y))?;
        let text = match view.means {
            Means::Kitty => {
                let columns = small.width.div_ceil(cell.0).clamp(1, u32::from(area.width)) as u16;
                let lines = small.height.div_ceil(cell.1).clamp(1, u32::from(area.height)) as u16;
                picture::kitty(&small, columns, lines)
            }
            _ => picture::sixel(&small),
        };
        // From its first byte on something of it stands there.
        view.drawn = drawn;
        let mut stdout = io::stdout();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
    }
    Ok(())
}

/// The pixels of a character.
fn cell_pixels() -> (u32, u32) {
    let Ok(size) = window_size() else { return USUAL_CELL };
    let cell = |pixels: u16, count: u16| u32::from(pixels) / u32::from(count.max(1));
    match (cell(size.width, size.columns), cell(size.height, size.rows)) {
        (0, _) | (_, 0) => USUAL_CELL,
        found => found,
    }
}

fn color_of(state: &str) -> Color {
    match state {
        "live" | "idle" => Color::Green,
        "stalled" | "unproven" | "waiting" => Color::Yellow,
        _ => Color::Red,
    }
}

fn draw_table(frame: &mut Frame<'_>, base: &Path, rows: &[Row], state: &mut TableState) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    let live = rows.iter().filter(|row| row.state == "live").count();
    let memory: u64 = rows.iter().filter_map(|row| row.memory_bytes).sum();
    let title =
        format!("{}: {live} of {} cameras live, {}", base.display(), rows.len(), crate::human::bytes(memory));
    frame.render_widget(Paragraph::new(title).style(Style::new().add_modifier(Modifier::BOLD)), head);
    let cells: Vec<_> = rows.iter().map(cells).collect();
    // As wide as the widest cell, as in the text.
    let last = HEADINGS.len() - 1;
    let widths = (0..HEADINGS.len()).map(|column| {
        if column == last {
            // A sentence: what is left of the line, so that it takes nothing from the numbers.
            return Constraint::Fill(1);
        }
        let widest = cells.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
        Constraint::Length(u16::try_from(widest.max(HEADINGS[column].len())).unwrap_or(u16::MAX))
    });
    let body_rows = rows.iter().zip(&cells).map(|(row, cells)| {
        TableRow::new(cells.iter().enumerate().map(|(column, text)| {
            let style = if column == 1 { Style::new().fg(color_of(row.state)) } else { Style::new() };
            Cell::new(text.clone()).style(style)
        }))
    });
    let table = Table::new(body_rows, widths)
        .header(TableRow::new(HEADINGS).style(Style::new().add_modifier(Modifier::BOLD)))
        .column_spacing(2)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_stateful_widget(table, body, state);
    let keys = "q ends   up, down choose   enter shows one";
    frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
}

/// Where the picture is, below the lines about the camera and above that of the keys.
fn picture_area(whole: Rect) -> Rect {
    const LINES: u16 = 4;
    Rect::new(whole.x, whole.y + LINES, whole.width, whole.height.saturating_sub(LINES + 1))
}

fn draw_one(frame: &mut Frame<'_>, row: &Row, area: Rect, small: Option<&Small>) {
    let cells = cells(row);
    let named = |column: usize| format!("{} {}   ", HEADINGS[column].to_lowercase(), cells[column]);
    let lines = [
        Line::from(vec![
            Span::styled(format!("{}  ", row.camera), Style::new().add_modifier(Modifier::BOLD)),
            Span::styled(cells[1].clone(), Style::new().fg(color_of(row.state))),
            Span::raw(format!("  {}", cells[10])),
        ]),
        Line::from([2, 3, 4, 5].map(named).concat()),
        Line::from([6, 7, 8, 9].map(named).concat()),
    ];
    let whole = frame.area();
    frame.render_widget(
        Paragraph::new(Text::from(lines.to_vec())),
        Rect { height: whole.height.min(3), ..whole },
    );
    let foot = Rect { y: whole.bottom().saturating_sub(1), height: whole.height.min(1), ..whole };
    let keys = "q ends   esc back   up, down another camera";
    frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
    let Some(small) = small else { return };
    for y in (0..small.height).step_by(2) {
        for x in 0..small.width {
            let at = Position::new(area.x + x as u16, area.y + (y / 2) as u16);
            let color = |[red, green, blue]: [u8; 3]| Color::Rgb(red, green, blue);
            let Some(cell) = frame.buffer_mut().cell_mut(at) else { continue };
            cell.set_symbol("\u{2580}").set_fg(color(small.pixel(x, y)));
            if y + 1 < small.height {
                cell.set_bg(color(small.pixel(x, y + 1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(ids: &[&str]) -> Vec<Row> {
        ids.iter().map(|id| Row::gone(CameraId::new(id).expect("an id"))).collect()
    }

    fn selected(view: &View) -> Option<&str> {
        view.selected.as_ref().map(CameraId::as_str)
    }

    #[test]
    fn the_chosen_camera_stays_chosen_while_others_come_and_go() {
        let mut view = View::new(Means::None);
        view.settle(&rows(&["front", "gate", "yard"]));
        assert_eq!((selected(&view), view.table.selected()), (Some("front"), Some(0)));
        view.choose(&rows(&["front", "gate", "yard"]), Step::Next);
        view.settle(&rows(&["attic", "front", "gate", "yard"]));
        assert_eq!((selected(&view), view.table.selected()), (Some("gate"), Some(2)));
        // It goes: the one in its place, or the last one.
        view.settle(&rows(&["front", "yard"]));
        assert_eq!((selected(&view), view.table.selected()), (Some("yard"), Some(1)));
        view.settle(&rows(&["front"]));
        assert_eq!((selected(&view), view.table.selected()), (Some("front"), Some(0)));
        // All go, and come back.
        view.settle(&[]);
        assert_eq!(view.table.selected(), None);
        view.settle(&rows(&["attic", "front"]));
        assert_eq!((selected(&view), view.table.selected()), (Some("front"), Some(1)));
    }

    #[test]
    fn the_camera_that_is_looked_at_stays_also_when_it_is_gone_and_has_neighbours() {
        let mut view = View::new(Means::None);
        let all = rows(&["attic", "front", "yard"]);
        view.selected = CameraId::new("gate").ok();
        view.is_one = true;
        view.settle(&all);
        assert_eq!(selected(&view), Some("gate"));
        view.choose(&all, Step::Next);
        assert_eq!(selected(&view), Some("yard"));
        view.choose(&all, Step::Next);
        assert_eq!(selected(&view), Some("yard"));
        view.selected = CameraId::new("gate").ok();
        view.choose(&all, Step::Previous);
        assert_eq!(selected(&view), Some("front"));
        view.choose(&all, Step::First);
        view.choose(&all, Step::Previous);
        assert_eq!(selected(&view), Some("attic"));
        view.choose(&all, Step::Last);
        assert_eq!(selected(&view), Some("yard"));
        view.choose(&[], Step::Last);
        assert_eq!(selected(&view), Some("yard"));
    }
}
