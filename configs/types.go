package configs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Engine is an inference engine.
type Engine string

// The engines.
const (
	EngineAuto        Engine = "auto"
	EngineONNXRuntime Engine = "onnxruntime"
	EngineGorgonia    Engine = "gorgonia"
)

// Values are the allowed values.
func (Engine) Values() []string {
	return []string{string(EngineAuto), string(EngineONNXRuntime), string(EngineGorgonia)}
}

// Delivery is what happens to frames that come faster than they are used.
type Delivery string

// The two ways of delivery.
const (
	Latest Delivery = "latest"
	Every  Delivery = "every"
)

// Values are the allowed values.
func (Delivery) Values() []string { return []string{string(Latest), string(Every)} }

// Transport is how RTSP carries pictures.
type Transport string

// The transports.
const (
	TCP Transport = "tcp"
	UDP Transport = "udp"
)

// Values are the allowed values.
func (Transport) Values() []string { return []string{string(TCP), string(UDP)} }

// Decode is who decodes the video.
type Decode string

// The decoders.
const (
	DecodeSoftware Decode = "software"
	DecodeAuto     Decode = "auto"
	DecodeVAAPI    Decode = "vaapi"
	DecodeMFX      Decode = "mfx"
	DecodeCUDA     Decode = "cuda"
)

// Values are the allowed values.
func (Decode) Values() []string {
	return []string{string(DecodeSoftware), string(DecodeAuto), string(DecodeVAAPI), string(DecodeMFX), string(DecodeCUDA)}
}

// Duration is a time span, written as in Go (1h30m, 250ms) or in days (30d).
type Duration time.Duration

// UnmarshalText implements [encoding.TextUnmarshaler]. The error does not
// repeat the text.
func (d *Duration) UnmarshalText(text []byte) error {
	s := string(text)
	bad := errors.New("must be a time span such as 500ms, 3s, 24h or 30d")
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || !(n >= 0 && n < 36500) {
			return bad
		}
		*d = Duration(n * float64(24*time.Hour))
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return bad
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }

// Sync is how often a store is forced to the disk; 0: always, before anything
// counts as stored.
type Sync time.Duration

// syncAlways is how a file writes 0.
const syncAlways = "always"

// UnmarshalText implements [encoding.TextUnmarshaler]. The error does not
// repeat the text.
func (s *Sync) UnmarshalText(text []byte) error {
	if string(text) == syncAlways {
		*s = 0
		return nil
	}
	var d Duration
	if err := d.UnmarshalText(text); err != nil || d <= 0 {
		return errors.New("must be always or a time span such as 1s")
	}
	*s = Sync(d)
	return nil
}

func (s Sync) String() string {
	if s == 0 {
		return syncAlways
	}
	return time.Duration(s).String()
}

// Size is a number of bytes, written with or without a unit: 500MB, 10GiB.
type Size int64

// units are powers of 1000 without and of 1024 with an i.
func units() map[string]float64 {
	return map[string]float64{
		"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
		"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	}
}

// UnmarshalText implements [encoding.TextUnmarshaler]. The error does not
// repeat the text.
func (s *Size) UnmarshalText(text []byte) error {
	bad := errors.New("must be a size such as 500MB or 10GiB")
	t := strings.TrimSpace(string(text))
	end := strings.LastIndexAny(t, "0123456789.") + 1
	unit, ok := units()[strings.TrimSpace(t[end:])]
	n, err := strconv.ParseFloat(t[:end], 64)
	if err != nil || !ok || !(n >= 0) || n*unit > math.MaxInt64/2 {
		return bad
	}
	*s = Size(n * unit)
	return nil
}

func (s Size) String() string {
	for _, u := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if n := Size(units()[u]); s >= n && s%n == 0 {
			return fmt.Sprintf("%d%s", s/n, u)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
