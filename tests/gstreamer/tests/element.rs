//! The element in pipelines of this process: pixels, times, flags, changes, ends.

use gst::prelude::*;
use gst_video::VideoMeta;
use std::process::Command;
use std::time::Duration;
use vas_e2e::process::{Process, program};
use vas_e2e::scene::Scene;
use vas_e2e::{pattern, until};
use vas_gstreamer_tests::{CAMERA, PERIOD, Run, Server, assert_is, packed};
use vas_shm_writer::{Color, ColorRange, PictureFormat};

fn caps_of(sample: &gst::Sample) -> gst::Structure {
    sample.caps().and_then(|caps| caps.structure(0)).expect("caps").to_owned()
}

fn has(sample: &gst::Sample, flag: gst::BufferFlags) -> bool {
    sample.buffer().expect("a buffer").flags().contains(flag)
}

fn pts(sample: &gst::Sample) -> gst::ClockTime {
    sample.buffer().and_then(gst::BufferRef::pts).expect("a time")
}

#[test]
fn every_frame_arrives_with_its_own_pixels_number_and_time_also_of_an_odd_size() {
    for (width, height) in [(640, 480), (641, 479), (1, 1), (322, 242)] {
        let scene = Scene::new();
        let mut server = Server::start(&scene);
        let run = Run::into_appsink(&scene, "mode=next");
        let mut last = None;
        for number in 0..5 {
            let published = server.publish(width, height);
            let sample = run.sample();
            assert_is(&sample, &published);
            assert_eq!(has(&sample, gst::BufferFlags::DISCONT), number == 0, "frame {number}");
            let meta = sample.buffer().and_then(gst::BufferRef::meta::<VideoMeta>).expect("where rows are");
            assert_eq!((meta.width(), meta.height(), meta.n_planes()), (width, height, 2));
            assert!(last.replace(pts(&sample)) < Some(pts(&sample)), "frame {number} is not later");
            assert_eq!(
                sample.buffer().and_then(gst::BufferRef::duration),
                Some(gst::ClockTime::from_mseconds(40))
            );
        }
        let said = caps_of(&sample_of_another(&mut server, &run, width, height));
        assert_eq!((said.get("width"), said.get("height")), (Ok(width as i32), Ok(height as i32)));
        assert_eq!(said.get("framerate"), Ok(gst::Fraction::new(25, 1)));
        assert_eq!((run.counter("frames"), run.counter("skipped")), (6, 0));
        server.stop();
    }
}

fn sample_of_another(server: &mut Server, run: &Run, width: u32, height: u32) -> gst::Sample {
    let published = server.publish(width, height);
    let sample = run.sample();
    assert_is(&sample, &published);
    sample
}

#[test]
fn colours_are_those_of_the_header() {
    for (range, [primaries, transfer, matrix], colorimetry) in [
        (ColorRange::Limited, [1, 1, 1], "bt709"),
        (ColorRange::Limited, [6, 6, 6], "bt601"),
        (ColorRange::Limited, [9, 14, 9], "bt2020-10"),
        (ColorRange::Full, [6, 6, 6], "1:4:16:4"),
        (ColorRange::Full, [1, 1, 1], "1:3:5:1"),
        (ColorRange::Full, [9, 14, 9], "1:6:13:7"),
        (ColorRange::Unknown, [2, 2, 2], "2:4:0:0"),
    ] {
        let scene = Scene::new();
        let mut server = Server::start(&scene);
        let run = Run::into_appsink(&scene, "");
        let color = Color { range, primaries, transfer, matrix };
        let published = server.publish_as(PictureFormat::new(64, 48, color), false);
        let sample = run.sample();
        assert_is(&sample, &published);
        assert_eq!(caps_of(&sample).get::<&str>("colorimetry"), Ok(colorimetry), "{color:?}");
        server.stop();
    }
}

#[test]
fn a_damaged_frame_is_marked_as_corrupted_and_the_next_one_is_not() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::into_appsink(&scene, "mode=next");
    for damaged in [false, true, false] {
        let published = server.publish_as(PictureFormat::new(64, 48, Color::UNSPECIFIED), damaged);
        let sample = run.sample();
        assert_is(&sample, &published);
        assert_eq!(has(&sample, gst::BufferFlags::CORRUPTED), damaged);
    }
    server.stop();
}

#[test]
fn a_change_of_size_is_negotiated_and_loses_no_frame() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::into_appsink(&scene, "mode=next");
    let mut generations = Vec::new();
    for (width, height) in [(320, 240), (641, 479), (64, 48), (320, 240)] {
        for number in 0..3 {
            let published = server.publish(width, height);
            let sample = run.sample();
            assert_is(&sample, &published);
            let said = caps_of(&sample);
            assert_eq!((said.get("width"), said.get("height")), (Ok(width as i32), Ok(height as i32)));
            assert_eq!(has(&sample, gst::BufferFlags::DISCONT), number == 0);
        }
        generations.push(run.counter("generation"));
    }
    assert!(generations.is_sorted_by(|before, after| before < after), "{generations:?}");
    assert_eq!((run.counter("frames"), run.counter("skipped")), (12, 0));
    server.stop();
}

#[test]
fn a_server_that_ends_and_comes_again_is_told_of_and_followed() {
    let scene = Scene::new();
    let run = Run::into_appsink(&scene, "mode=next");
    run.until_state("waiting");
    let mut server = Server::start(&scene);
    for size in [(320, 240), (320, 240), (640, 480)] {
        let first = server.publish(size.0, size.1);
        let sample = run.sample();
        assert_is(&sample, &first);
        assert!(has(&sample, gst::BufferFlags::DISCONT));
        run.until_state("live");
        assert_eq!(run.source.property::<Option<String>>("status").as_deref(), Some("live"));
        let published = server.publish(size.0, size.1);
        assert_is(&run.sample(), &published);
        server.stop();
        run.until_state("stopped");
        run.until_state("waiting");
        server = Server::start(&scene);
    }
    assert_eq!((run.counter("frames"), run.counter("skipped")), (6, 0));
    server.stop();
}

#[test]
fn another_rate_of_the_same_pictures_is_negotiated() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::into_appsink(&scene, "mode=next");
    assert_eq!(
        caps_of(&sample_of_another(&mut server, &run, 320, 240)).get("framerate"),
        Ok(gst::Fraction::new(25, 1))
    );
    server.camera().set_frame_period(Some(PERIOD * 2));
    assert_eq!(
        caps_of(&sample_of_another(&mut server, &run, 320, 240)).get("framerate"),
        Ok(gst::Fraction::new(25, 2))
    );
    // A server that does not know any more takes back nothing that it said.
    server.camera().set_frame_period(None);
    assert_eq!(
        caps_of(&sample_of_another(&mut server, &run, 320, 240)).get("framerate"),
        Ok(gst::Fraction::new(25, 2))
    );
    server.stop();
}

#[test]
fn a_pipeline_that_waits_for_a_camera_that_is_not_there_ends_when_asked() {
    let scene = Scene::new();
    let run = Run::into_appsink(&scene, "");
    run.until_state("waiting");
    run.end();
    // And may begin again.
    run.play();
    run.until_state("waiting");
    let mut server = Server::start(&scene);
    let _ = sample_of_another(&mut server, &run, 64, 48);
    server.stop();
}

#[test]
fn a_flush_interrupts_the_waiting_and_frames_come_after_it() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::into_appsink(&scene, "mode=next");
    let _ = sample_of_another(&mut server, &run, 64, 48);
    for _ in 0..3 {
        // What a flushing seek does to a source, whose own pad refuses to seek.
        assert!(run.source.send_event(gst::event::FlushStart::new()));
        assert!(run.source.send_event(gst::event::FlushStop::new(false)));
        let _ = sample_of_another(&mut server, &run, 64, 48);
    }
    server.stop();
}

#[test]
fn downstream_that_stops_hurts_nobody_and_has_the_newest_frame_afterwards() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::new(&scene, "", "appsink name=sink sync=false max-buffers=2");
    run.play();
    let first = server.publish(320, 240);
    let sample = run.sample();
    assert_is(&sample, &first);
    // Two in the sink, one that waits to get in; then nobody asks for more.
    for frames in 2..=4 {
        let _ = server.publish(320, 240);
        until("the frame is taken", || (run.counter("frames") == frames).then_some(()));
    }
    // The server has a slot for each of these at once: nobody keeps one from it.
    let many: Vec<_> = (0..50).map(|_| server.publish(320, 240)).collect();
    assert_eq!(run.counter("frames"), 4);
    let mut last = sample.buffer().expect("a buffer").offset();
    let mut gaps = 0;
    let newest = many.last().expect("fifty");
    let sample = loop {
        let sample = run.sample();
        let id = sample.buffer().expect("a buffer").offset();
        assert_eq!(has(&sample, gst::BufferFlags::DISCONT), id != last + 1, "frame {id} after {last}");
        gaps += id - last - 1;
        last = id;
        if id >= many[0].id {
            break sample;
        }
    };
    assert_is(&sample, newest);
    assert_eq!((gaps, run.counter("skipped")), (49, 49));
    server.stop();
}

/// The server writes flat out into two slots, so that many frames are overwritten while they are copied.
#[test]
fn a_frame_that_is_overwritten_while_it_is_copied_is_never_handed_on() {
    const BUFFERS: u64 = 2000;
    let scene = Scene::new();
    let mut command = Command::new(program("vas-e2e-writer"));
    let mut writer =
        Process::start("vas-e2e-writer", command.arg(scene.base()).args([CAMERA, "2", "steady"]));
    let run = Run::into_appsink(&scene, "");
    let (mut last, mut gaps) = (None, 0);
    for _ in 0..BUFFERS {
        let sample = run.sample();
        let id = sample.buffer().expect("a buffer").offset();
        assert!(pattern::mark(&packed(&sample)).is_some(), "frame {id} is a mixture");
        gaps += last.map_or(0, |last| id - last - 1);
        last = Some(id);
    }
    assert!(gaps > 0, "the test is blind: the server never was faster");
    assert!(run.counter("skipped") >= gaps && run.counter("frames") >= BUFFERS);
    writer.close();
    assert!(writer.wait().status.success());
}

#[test]
fn a_paused_pipeline_takes_no_frame_and_goes_on_with_the_newest_one() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::into_appsink(&scene, "");
    for _ in 0..3 {
        let _ = sample_of_another(&mut server, &run, 320, 240);
        let taken = run.counter("frames");
        run.pipeline.set_state(gst::State::Paused).expect("pause");
        let in_the_pause: Vec<_> = (0..10).map(|_| server.publish(320, 240)).collect();
        // Were one of them taken, it would be now: the file is looked at at least this often.
        std::thread::sleep(3 * PERIOD);
        assert_eq!(run.counter("frames"), taken, "taken in a pause");
        run.play();
        let newest = in_the_pause.last().expect("ten").id;
        let published = server.publish(320, 240);
        let mut first = None;
        let sample = until("the newest frame", || {
            let sample = run.sample();
            let id = sample.buffer().map_or(0, gst::BufferRef::offset);
            first.get_or_insert(id);
            (id == published.id).then_some(sample)
        });
        assert!(first >= Some(newest), "{first:?}, which is older than {newest}, came after the pause");
        assert_is(&sample, &published);
        // What was waited for in the pause does not stay behind as lateness.
        let base = run.source.base_time().expect("it plays");
        assert_eq!(pts(&sample) + base, gst::ClockTime::from_nseconds(published.timestamp_ns));
    }
    server.stop();
}

#[test]
fn a_limited_wait_does_not_count_a_pause() {
    const TIMEOUT: Duration = Duration::from_millis(1500);
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::into_appsink(&scene, &format!("timeout={}", TIMEOUT.as_nanos()));
    let _ = sample_of_another(&mut server, &run, 320, 240);
    run.pipeline.set_state(gst::State::Paused).expect("pause");
    // The pause itself is what is tested: it has to be longer than the limit.
    std::thread::sleep(TIMEOUT + PERIOD);
    run.play();
    let _ = sample_of_another(&mut server, &run, 320, 240);
    // And without a frame it still ends.
    assert!(run.until_error().contains("no frame for 1.5 seconds"));
    server.stop();
}

#[test]
fn the_longest_limit_of_a_wait_is_for_ever() {
    let scene = Scene::new();
    let run = Run::into_appsink(&scene, &format!("timeout={}", u64::MAX - 1));
    run.until_state("waiting");
    let mut server = Server::start(&scene);
    let _ = sample_of_another(&mut server, &run, 64, 48);
    server.stop();
}

#[test]
fn a_period_that_no_camera_has_is_none() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    server.camera().set_frame_period(Some(Duration::from_secs(5 * 3600)));
    let run = Run::into_appsink(&scene, "");
    let sample = sample_of_another(&mut server, &run, 64, 48);
    assert_eq!(caps_of(&sample).get::<gst::Fraction>("framerate"), Ok((0, 1).into()));
    assert_eq!(sample.buffer().and_then(gst::BufferRef::duration), None);
    let mut query = gst::query::Latency::new();
    assert!(run.source.static_pad("src").expect("a pad").query(&mut query));
    assert_eq!(query.result().1, gst::ClockTime::from_mseconds(40));
    server.stop();
}

#[test]
fn on_the_usual_clock_a_buffer_has_the_very_time_of_its_frame() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let before = server.publish(320, 240);
    let run = Run::into_appsink(&scene, "mode=next");
    let sample = run.sample();
    assert_is(&sample, &before);
    assert_eq!(pts(&sample), gst::ClockTime::ZERO, "a frame from before the start is of its first moment");
    for _ in 0..3 {
        let published = server.publish(320, 240);
        let base = run.source.base_time().expect("it plays");
        assert_eq!(pts(&run.sample()) + base, gst::ClockTime::from_nseconds(published.timestamp_ns));
    }
    server.stop();
}

#[test]
fn on_another_clock_a_buffer_is_as_old_as_its_frame() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::new(&scene, "mode=next", "appsink name=sink sync=false");
    let wall: gst::SystemClock =
        gst::glib::Object::builder().property("clock-type", gst::ClockType::Realtime).build();
    run.pipeline.use_clock(Some(&wall));
    run.play();
    let _ = sample_of_another(&mut server, &run, 320, 240);
    let running = || wall.time() - run.source.base_time().expect("it plays");
    let before = running();
    let sample = sample_of_another(&mut server, &run, 320, 240);
    let (at, after) = (pts(&sample), running());
    assert!(before <= at && at <= after, "{before} <= {at} <= {after}");
    server.stop();
}

#[test]
fn lateness_is_a_frame_period_and_what_may_be_waited_for_is_what_the_slots_hold() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    server.camera().set_frame_period(Some(PERIOD / 2));
    let run = Run::into_appsink(&scene, "");
    let _ = sample_of_another(&mut server, &run, 320, 240);
    let mut query = gst::query::Latency::new();
    assert!(run.source.static_pad("src").expect("a pad").query(&mut query));
    let milliseconds = gst::ClockTime::from_mseconds;
    assert_eq!(query.result(), (true, milliseconds(20), Some(milliseconds(60))));
    server.stop();
}

#[test]
fn a_limited_wait_ends_with_an_error_that_says_what_is_missing() {
    let scene = Scene::new();
    let run = Run::into_appsink(&scene, "timeout=50000000");
    let error = run.until_error();
    assert_eq!(
        error,
        format!(
            "camera {CAMERA}: no frame for 0.05 seconds (the property timeout); it was last seen waiting"
        )
    );
}

#[test]
fn a_camera_of_another_owner_is_refused_with_a_warning() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::new(&scene, "owner-uid=54321", "fakesink");
    let _ = server.publish(64, 48);
    run.play();
    let warning = run.message("a warning", |message| match message {
        gst::MessageView::Warning(warning) => Some(warning.error().to_string()),
        _ => None,
    });
    assert!(warning.starts_with("camera front: refused: ") && warning.contains("54321"), "{warning}");
    assert_eq!(run.source.property::<Option<String>>("status").as_deref(), Some("refused"));
    server.stop();
}

#[test]
fn a_name_that_no_camera_can_have_is_told_at_the_start() {
    let scene = Scene::new();
    for (properties, words) in
        [("camera=../front", "camera \"../front\" cannot be"), ("camera=\"\"", "no camera is named")]
    {
        let run = Run::new(&scene, properties, "fakesink");
        assert!(run.pipeline.set_state(gst::State::Playing).is_err());
        let error = run.until_error();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn a_size_that_downstream_does_not_take_is_an_error_that_says_so() {
    let scene = Scene::new();
    let mut server = Server::start(&scene);
    let run = Run::new(&scene, "mode=next", "video/x-raw,width=320 ! fakesink sync=false");
    run.play();
    let _ = server.publish(320, 240);
    until("the frame is taken", || (run.counter("frames") == 1).then_some(()));
    let _ = server.publish(640, 480);
    let error = run.until_error();
    assert!(error.contains("camera front now has pictures of 640x480"), "{error}");
    server.stop();
}
