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
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};
use vas_shm_reader::Reader;

/// How often the picture of one camera is drawn anew.
const PICTURE_INTERVAL: Duration = Duration::from_millis(100);
/// How long after a signal this may go on by itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// Pixels of a character where the terminal does not say.
const USUAL_CELL: (u32, u32) = (8, 16);

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
    /// One camera with its picture, and not the table.
    is_one: bool,
    means: Means,
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
        show(
            base,
            &mut watched,
            arguments,
            &mut screen,
            View { table: TableState::default(), is_one: false, means },
            &signal,
        )
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
    mut view: View,
    signal: &AtomicI32,
) -> Result<Option<i32>, Failure> {
    view.table.select(Some(0));
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
            draw(terminal, base, watched, &rows, &mut view)?;
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
                KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if view.is_one => {
                    leave(terminal, &mut view)?;
                }
                KeyCode::Esc => return Ok(None),
                KeyCode::Enter | KeyCode::Right if !rows.is_empty() => view.is_one = true,
                KeyCode::Up | KeyCode::Char('k') => view.table.select_previous(),
                KeyCode::Down | KeyCode::Char('j') => view.table.select_next(),
                KeyCode::Home => view.table.select_first(),
                KeyCode::End => view.table.select_last(),
                _ => {}
            },
            Event::Resize(..) => terminal.clear()?,
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
            let _ = ratatui::try_restore();
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
    })?;
    Ok(came)
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

/// Back to the table. Pictures of kitty and sixel are not the characters that are drawn over them.
fn leave(terminal: &mut ratatui::DefaultTerminal, view: &mut View) -> io::Result<()> {
    view.is_one = false;
    if view.means == Means::Kitty {
        write!(io::stdout(), "{}", picture::kitty_delete())?;
    }
    terminal.clear()
}

fn draw(
    terminal: &mut ratatui::DefaultTerminal,
    base: &Path,
    watched: &Watched,
    rows: &[Row],
    view: &mut View,
) -> io::Result<()> {
    // Cameras come and go.
    let selected = view.table.selected().unwrap_or(0).min(rows.len().saturating_sub(1));
    view.table.select(Some(selected));
    let row = rows.get(selected).filter(|_| view.is_one);
    let Some(row) = row else {
        if view.is_one {
            leave(terminal, view)?;
        }
        terminal.draw(|frame| draw_table(frame, base, rows, &mut view.table))?;
        return Ok(());
    };
    let size = terminal.size()?;
    let area = picture_area(Rect::new(0, 0, size.width, size.height));
    let cell = cell_pixels();
    let most = match view.means {
        Means::Kitty | Means::Sixel => (u32::from(area.width) * cell.0, u32::from(area.height) * cell.1),
        _ => (u32::from(area.width), u32::from(area.height) * 2),
    };
    let standing =
        watched.stream(&row.camera).and_then(|stream| stream.reader()).and_then(Reader::last_picture);
    let small = standing
        .filter(|_| view.means != Means::None && area.height > 0)
        .and_then(|frame| picture::small(&frame, most));
    let is_blocks = !matches!(view.means, Means::Kitty | Means::Sixel);
    terminal.draw(|frame| draw_one(frame, row, area, small.as_ref().filter(|_| is_blocks)))?;
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
