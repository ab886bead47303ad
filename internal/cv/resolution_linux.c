//go:build cv && linux

#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

#if !__has_include(<libavcodec/avcodec.h>)
#error "FFmpeg's headers are missing: install libavcodec-dev (make setup does)"
#endif
#include <libavcodec/avcodec.h>

// When a stream changes its resolution, OpenCV (4.6 to 4.12 at least) goes on
// with the old one: it compares against the size in the stream's parameters,
// which FFmpeg does not touch while decoding. The result is a part of the new
// picture, and memory behind it when it is smaller. Nothing in OpenCV's
// interface shows it.
//
// The cure is to keep those parameters true, upon which OpenCV adapts by
// itself. Two functions of FFmpeg that OpenCV calls are defined here, and come
// before the library's as symbols of the executable do: the one that ties a
// decoder to its stream's parameters, and the one that returns a picture.

#define TIES 16

static struct {
	const AVCodecContext *decoder;
	AVCodecParameters *stream;
} ties[TIES];
static unsigned next_tie;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int avcodec_parameters_to_context(AVCodecContext *decoder, const AVCodecParameters *stream) {
	static int (*real)(AVCodecContext *, const AVCodecParameters *);
	pthread_mutex_lock(&lock);
	if (!real)
		real = (int (*)(AVCodecContext *, const AVCodecParameters *))dlsym(RTLD_NEXT, "avcodec_parameters_to_context");
	unsigned i = 0;
	while (i < TIES && ties[i].decoder != decoder)
		i++;
	if (i == TIES)
		i = next_tie++ % TIES;
	ties[i].decoder = decoder;
	ties[i].stream = (AVCodecParameters *)stream;
	pthread_mutex_unlock(&lock);
	return real ? real(decoder, stream) : AVERROR_BUG;
}

// A tie must not outlive its decoder: the memory of its stream goes with it.
void avcodec_free_context(AVCodecContext **decoder) {
	static void (*real)(AVCodecContext **);
	pthread_mutex_lock(&lock);
	if (!real)
		real = (void (*)(AVCodecContext **))dlsym(RTLD_NEXT, "avcodec_free_context");
	for (unsigned i = 0; decoder && i < TIES; i++)
		if (ties[i].decoder == *decoder)
			ties[i].decoder = NULL, ties[i].stream = NULL;
	pthread_mutex_unlock(&lock);
	if (real)
		real(decoder);
}

int avcodec_receive_frame(AVCodecContext *decoder, AVFrame *frame) {
	static int (*real)(AVCodecContext *, AVFrame *);
	pthread_mutex_lock(&lock);
	if (!real)
		real = (int (*)(AVCodecContext *, AVFrame *))dlsym(RTLD_NEXT, "avcodec_receive_frame");
	pthread_mutex_unlock(&lock);
	if (!real)
		return AVERROR_BUG;
	int result = real(decoder, frame);
	if (result < 0)
		return result;
	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < TIES; i++) {
		AVCodecParameters *stream = ties[i].stream;
		if (ties[i].decoder != decoder || !stream)
			continue;
		if (stream->width != frame->width || stream->height != frame->height) {
			stream->width = frame->width;
			stream->height = frame->height;
		}
		break;
	}
	pthread_mutex_unlock(&lock);
	return result;
}
