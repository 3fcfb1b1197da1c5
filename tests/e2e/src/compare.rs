//! Whether what a reader got is what was played.

use crate::reader::Frame;

/// How a clip is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plays {
    /// Its end is followed by its beginning.
    RoundAndRound,
    /// It ends.
    Once,
}

/// Compares the frames that a reader got of one generation, in order, with the pictures that were played.
///
/// Ids rise by one per decoded frame, so the distance between id and place in the clip is found once, from the first frame, and
/// then holds for every other one. Nothing is skipped silently: the gaps between ids are the skipped frames that were told.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn compare(frames: &[Frame], pictures: &[String], plays: Plays) -> Result<(), String> {
    let [first, ..] = frames else { return Err("no frames".into()) };
    for pair in frames.windows(2) {
        let (before, frame) = (&pair[0], &pair[1]);
        let id = frame.frame_id;
        if frame.generation != before.generation {
            return Err(format!("frame {id} is of another generation"));
        }
        if id <= before.frame_id {
            return Err(format!("frame {id} comes after {}", before.frame_id));
        }
        let gap = id - before.frame_id - 1;
        if frame.skipped != gap {
            return Err(format!(
                "frame {id} comes after {} and tells of {} skipped",
                before.frame_id, frame.skipped
            ));
        }
        if frame.timestamp_ns <= before.timestamp_ns {
            return Err(format!("frame {id} is not later than the one before it"));
        }
    }
    if let Some(damaged) = frames.iter().find(|frame| frame.damaged) {
        return Err(format!("frame {} is damaged", damaged.frame_id));
    }
    // Pictures may look alike: each place where the first frame could be from is tried.
    let mut why = format!("frame {} is none of the {} pictures", first.frame_id, pictures.len());
    for (place, _) in pictures.iter().enumerate().filter(|(_, picture)| **picture == first.md5) {
        let expected = |frame: &Frame| {
            let index = place + usize::try_from(frame.frame_id - first.frame_id).ok()?;
            match plays {
                Plays::RoundAndRound => pictures.get(index % pictures.len()),
                Plays::Once => pictures.get(index),
            }
        };
        let Some(wrong) = frames.iter().find(|frame| expected(frame) != Some(&frame.md5)) else {
            return Ok(());
        };
        let instead = pictures.iter().position(|picture| *picture == wrong.md5);
        why = format!(
            "frame {} is picture {place}, but frame {} is {}",
            first.frame_id,
            wrong.frame_id,
            instead.map_or_else(|| "none of them".into(), |index| format!("picture {index}"))
        );
    }
    Err(why)
}

/// As [`compare`], with all frames behind what is not as it should be.
///
/// # Errors
/// As [`compare`].
pub fn same(frames: &[Frame], pictures: &[String], plays: Plays) -> Result<(), String> {
    compare(frames, pictures, plays).map_err(|why| {
        let told: Vec<String> = frames
            .iter()
            .map(|frame| format!("{} +{} {}", frame.frame_id, frame.skipped, frame.md5))
            .collect();
        format!("{why}; {} frames:\n{}", frames.len(), told.join("\n"))
    })
}

/// As [`same`], for tests.
///
/// # Panics
/// When anything is not as it should be.
pub fn assert_same(frames: &[Frame], pictures: &[String], plays: Plays) {
    if let Err(why) = same(frames, pictures, plays) {
        panic!("{why}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pictures() -> Vec<String> {
        // The second and the third look alike.
        ["a", "b", "b", "c"].map(str::to_owned).to_vec()
    }

    fn frame(frame_id: u64, skipped: u64, md5: &str) -> Frame {
        let (width, height, generation) = (2, 2, 7);
        Frame {
            found_ns: frame_id,
            since_start_ns: 0,
            frame_id,
            timestamp_ns: frame_id,
            skipped,
            damaged: false,
            width,
            height,
            generation,
            md5: md5.into(),
        }
    }

    fn verdict(frames: &[Frame]) -> Result<(), String> {
        compare(frames, &pictures(), Plays::RoundAndRound)
    }

    #[test]
    fn frames_in_order_are_the_same_wherever_they_begin() {
        let frames = [frame(12, 0, "b"), frame(13, 0, "c"), frame(14, 0, "a"), frame(16, 1, "b")];
        assert_eq!(verdict(&frames), Ok(()));
    }

    #[test]
    fn a_clip_that_is_played_once_does_not_begin_again() {
        let frames = [frame(12, 0, "b"), frame(13, 0, "c"), frame(14, 0, "a")];
        assert!(compare(&frames, &pictures(), Plays::Once).is_err());
        assert_eq!(compare(&frames[..2], &pictures(), Plays::Once), Ok(()));
    }

    #[test]
    fn a_picture_that_is_left_out_is_noticed() {
        assert!(verdict(&[frame(12, 0, "a"), frame(13, 0, "b"), frame(14, 0, "c")]).is_err());
    }

    #[test]
    fn a_picture_that_was_never_played_is_noticed() {
        assert!(verdict(&[frame(12, 0, "x")]).is_err());
        assert!(verdict(&[frame(12, 0, "a"), frame(13, 0, "x")]).is_err());
    }

    #[test]
    fn a_gap_that_is_not_told_is_noticed() {
        assert!(verdict(&[frame(12, 0, "a"), frame(14, 0, "b")]).is_err());
        assert!(verdict(&[frame(12, 0, "a"), frame(13, 1, "b")]).is_err());
    }

    #[test]
    fn a_damaged_frame_and_a_generation_that_changes_are_noticed() {
        assert!(verdict(&[Frame { damaged: true, ..frame(12, 0, "a") }]).is_err());
        assert!(verdict(&[frame(12, 0, "a"), Frame { generation: 8, ..frame(13, 0, "b") }]).is_err());
        assert!(verdict(&[]).is_err());
    }
}
