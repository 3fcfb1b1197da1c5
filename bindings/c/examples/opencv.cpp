/* SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * opencv CAMERA [BASE] > picture.ppm: the present picture of a camera as a cv::Mat in BGR, in its right colours.
 *
 *     c++ -std=c++20 -O2 -I bindings/c/include -I /usr/include/opencv4 -o opencv bindings/c/examples/opencv.cpp \
 *         -lopencv_imgproc -lopencv_core
 *
 * Exit code 0: a picture. 1: none within ten seconds, or it cannot be read. 2: the command line is wrong.
 */
#include "vas_frames.h"

#include "color.h"

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>

namespace {

/* The planes where they are: nothing is copied, and nothing may write there (the memory is mapped read-only). */
cv::Mat plane(const unsigned char *at, std::uint32_t height, std::uint32_t width, int type, std::size_t stride)
{
    return cv::Mat(static_cast<int>(height), static_cast<int>(width), type, const_cast<unsigned char *>(at), stride);
}

/*
 * BGR of a frame. cv::cvtColorTwoPlane is fast, and knows nothing but BT.601, limited range and even sizes; every other camera gets
 * wrong colours by it. So it converts what it can, and cv::transform by the frame's own matrix does the rest.
 */
cv::Mat to_bgr(const struct vas_frame &frame)
{
    const cv::Mat luma = plane(frame.luma, frame.height, frame.width, CV_8UC1, frame.stride);
    const cv::Mat chroma = plane(frame.chroma, (frame.height + 1) / 2, (frame.width + 1) / 2, CV_8UC2, frame.stride);
    const struct weights weights = weights_of(&frame);
    const bool is_full = is_full_range(&frame);
    cv::Mat bgr;
    if (weights.kr == 2990 && !is_full && frame.width % 2 == 0 && frame.height % 2 == 0) {
        cv::cvtColorTwoPlane(luma, chroma, bgr, cv::COLOR_YUV2BGR_NV12);
        return bgr;
    }
    cv::Mat wide;
    cv::resize(chroma, wide, cv::Size(), 2, 2, cv::INTER_NEAREST);
    const std::vector<cv::Mat> planes = {luma, wide(cv::Rect(0, 0, luma.cols, luma.rows))};
    cv::Mat ycc(luma.size(), CV_8UC3);
    cv::mixChannels(planes, std::vector<cv::Mat>{ycc}, {0, 0, 1, 1, 2, 2});
    /* PROTOCOL.md, section 5. */
    const double kr = static_cast<double>(weights.kr) / 10000, kb = static_cast<double>(weights.kb) / 10000, kg = 1 - kr - kb;
    const double y = is_full ? 1 : 255.0 / 219, c = is_full ? 1 : 255.0 / 224, black = is_full ? 0 : 16;
    const double blue = 2 * (1 - kb) * c, red = 2 * (1 - kr) * c;
    const cv::Matx34d matrix(y, blue, 0, -y * black - 128 * blue,                                          /* blue */
                             y, -kb / kg * blue, -kr / kg * red, -y * black + 128 * (kb * blue + kr * red) / kg, /* green */
                             y, 0, red, -y * black - 128 * red);                                           /* red */
    cv::transform(ycc, bgr, matrix);
    return bgr;
}

bool write_ppm(const cv::Mat &bgr)
{
    cv::Mat rgb;
    cv::cvtColor(bgr, rgb, cv::COLOR_BGR2RGB);
    return std::printf("P6\n%d %d\n255\n", rgb.cols, rgb.rows) > 0 &&
        std::fwrite(rgb.data, 3, rgb.total(), stdout) == rgb.total() && std::fflush(stdout) == 0;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        std::fprintf(stderr, "usage: opencv CAMERA [BASE] > picture.ppm\n");
        return 2;
    }
    vas::stream stream(argc > 2 ? argv[2] : nullptr, argv[1]);
    vas_frame frame;
    for (;;) {
        switch (vas_stream_next(stream, 10000, &frame)) {
        case VAS_FRAME: {
            const cv::Mat bgr = to_bgr(frame);
            if (vas_frame_is_intact(&frame)) /* only now is it what the camera saw */
                return write_ppm(bgr) ? 0 : 1;
            break;
        }
        case VAS_STATUS:
            std::fprintf(stderr, "%s\n", vas_stream_sentence(stream));
            if (vas_stream_status(stream) == VAS_STATUS_REFUSED)
                return 1;
            break;
        case VAS_TIMEOUT:
        case VAS_CANCELLED:
            std::fprintf(stderr, "no picture within ten seconds\n");
            return 1;
        }
    }
}
