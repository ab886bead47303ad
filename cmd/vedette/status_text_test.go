package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/vedette-io/vedette"
	"github.com/vedette-io/vedette/internal/bus"
	"github.com/vedette-io/vedette/internal/obs"
	"github.com/vedette-io/vedette/pipeline"
	"github.com/vedette-io/vedette/preprocess"
)

// plantAt is a plant whose stages are processes of their own, at a given time.
func plantAt(now time.Time) *plantStatus {
	ago := func(d time.Duration) vedette.Time { return vedette.At(now.Add(-d)) }
	capture := pipeline.Status{
		Stage: "ingest", Instance: "edge-1-k3v9", Site: "plant-1", Host: "edge-1", Version: "v0.1.0", Started: ago(75 * time.Hour),
		Cameras: []pipeline.CameraStatus{
			{ID: "gate", Phase: "online", Reconnects: 3, Since: ago(time.Hour)},
			{ID: "yard", Phase: "offline", Reason: "the camera cannot be reached: connection refused", Since: ago(200 * time.Second), Reconnects: 1},
			{ID: "line-1", Phase: "ended", Reason: "eof"},
			{ID: "lost", Phase: "online"},
		},
		Bus: pipeline.BusStatus{Reconnects: 1},
	}
	owner := pipeline.Status{
		Stage: "preprocess", Instance: "edge-1-p7x2", Site: "plant-1", Host: "edge-1", Version: "v0.1.0", Started: ago(75*time.Hour + 30*time.Second), Degraded: true,
		Cameras: []pipeline.CameraStatus{
			{ID: "gate", Accounts: map[string]preprocess.Counts{
				"yolox-nano": {Captured: 6_480_000, Inferred: 1_296_000, Gated: 12, Failed: 1, Expired: 2, Unfit: 40, InFlight: 1, SourceGap: 7, Unstored: 31,
					Dropped: map[string]uint64{"sampled": 5_183_000, "stale": 900, "overwritten": 4, "no_worker": 40}},
				"plates": {Captured: 6_480_000, Inferred: 6_480_000},
			}, Rates: map[string]obs.Rates{"yolox-nano": {Captured: 25, Inferred: 5}, "plates": {Captured: 25, Inferred: 24.96}},
				Latency: map[string]obs.Timing{"yolox-nano": {P50Millis: 9.44, P99Millis: 48.2}, "plates": {P50Millis: 101.4, P99Millis: 1202}}},
			{ID: "yard", Accounts: map[string]preprocess.Counts{"yolox-nano": {}}},
			{ID: "line-1", Accounts: map[string]preprocess.Counts{"yolox-nano": {Captured: 100, Inferred: 100}}},
			{ID: "orphan", Accounts: map[string]preprocess.Counts{"yolox-nano": {}}},
		},
	}
	worker := pipeline.Status{
		Stage: "infer", Instance: "gpu-1-a1b2", Site: "plant-1", Host: "gpu-1", Version: "v0.1.0", Started: ago(59 * time.Second),
		Models: []pipeline.ModelStatus{
			{ModelRef: vedette.ModelRef{Name: "yolox-nano", Engine: "onnxruntime", Device: "cuda:0", SHA256: strings.Repeat("ab", 32)}, Workers: 2,
				Runs: obs.Timing{PerSecond: 30.04, P50Millis: 6.5, P99Millis: 12.2}},
			{ModelRef: vedette.ModelRef{Name: "plates", Engine: "onnxruntime", Device: "cpu", SHA256: strings.Repeat("cd", 32)}, Workers: 16, Fallback: "no CUDA driver"},
		},
	}
	return &plantStatus{
		Server: "nats://10.0.0.2:4222", Time: vedette.At(now), said: []pipeline.Status{worker, capture, owner},
		Streams: []bus.StreamStat{
			{Name: "KV_vedette_leases", Bucket: true, Messages: 4},
			{Name: "VEDETTE_DETECTIONS", Messages: 1_234_567, Bytes: 1 << 30, MaxBytes: 2 << 30, MaxAgeSeconds: 86400, Last: now.Add(-400 * time.Millisecond)},
			{Name: "VEDETTE_EVENTS"},
		},
		Store: storeUse{Bytes: 1<<30 + 1<<20, MaxBytes: 10 << 30},
	}
}

const wantStatus = `site plant-1 on nats://10.0.0.2:4222

CAMERA  STATE    MODEL       CAPT/S  INF/S  P50/P99 MS  CAPTURED  INFERRED  NOT INFERRED
gate    online   plates        25.0   25.0    101/1202   6480000   6480000  -
                 yolox-nano    25.0    5.0      9.4/48   6480000   1296000  no worker 40,
                                                                            overwritten 4,
                                                                            sampled 5183000,
                                                                            stale 900, gated 12,
                                                                            unfit 40, failed 1,
                                                                            expired 2, in flight 1
line-1  ended    yolox-nano     0.0    0.0           -       100       100  -
lost    online   -                -      -           -         -         -  -
orphan  -        yolox-nano     0.0    0.0           -         0         0  -
yard    offline  yolox-nano     0.0    0.0           -         0         0  -
gate: reconnected 3 times; 31 results published but not stored; the source itself left out 7 frames
lost: nobody owns it: is vedette preprocess running?
orphan: nobody captures it: is vedette ingest running?
yard: offline for 3m20s: the camera cannot be reached: connection refused; reconnected once

MODEL       ENGINE       DEVICE  WORKERS  RUNS/S  P50/P99 MS  SHA256    INSTANCE
plates      onnxruntime  cpu          16     0.0           -  cdcdcdcd  gpu-1-a1b2
yolox-nano  onnxruntime  cuda:0        2    30.0      6.5/12  abababab  gpu-1-a1b2

INSTANCE     STAGE       HOST      UP  VERSION  STATE
gpu-1-a1b2   infer       gpu-1    59s  v0.1.0   plates runs on the CPU: no CUDA driver
edge-1-k3v9  ingest      edge-1  3d3h  v0.1.0   bus reconnected once
edge-1-p7x2  preprocess  edge-1  3d3h  v0.1.0   DEGRADED: detections are published but not stored

STREAM              MESSAGES    BYTES       OF  KEPT FOR  NEWEST
VEDETTE_DETECTIONS   1234567  1.0 GiB  2.0 GiB        1d  0s ago
VEDETTE_EVENTS             0      0 B        -         -       -

store: 1.0 GiB used of 10 GiB
`

func TestStatusText(t *testing.T) {
	p := plantAt(time.Unix(1_800_000_000, 0))
	var out strings.Builder
	if err := p.write(&out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantStatus, out.String()); diff != "" {
		t.Errorf("%s\n%s", diff, &out)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > screenWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	p.Streams, p.StoreError = nil, "the NATS server does not say: this login may not ask, or it is busy"
	out.Reset()
	if err := p.write(&out); err != nil || !strings.HasSuffix(out.String(), "\nstore: "+p.StoreError+"\n") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 61 * time.Second: "1m1s", time.Hour: "1h",
		90 * time.Minute: "1h30m", 24 * time.Hour: "1d", 75 * time.Hour: "3d3h", 720 * time.Hour: "30d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}

// What a host says of the plant's server.
func TestStatusOfTheHub(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	for _, tc := range []struct {
		hub  pipeline.HubStatus
		want string
	}{
		{pipeline.HubStatus{Connected: true, Collects: true}, ""},
		{pipeline.HubStatus{Connected: true, Collects: true, Waiting: 3}, ""},
		{pipeline.HubStatus{Connected: true, Waiting: 3}, "the hub is there and about to collect; 3 detections wait for it"},
		{pipeline.HubStatus{Waiting: 120, Reason: "it cannot be reached: connection refused"}, "DEGRADED: the hub is away for 13s: it cannot be reached: connection refused; 120 detections wait for it"},
		{pipeline.HubStatus{}, "DEGRADED: the hub is away for 13s"},
		{pipeline.HubStatus{Connected: true, Reason: "its stream is another"}, "DEGRADED: the hub does not collect: its stream is another"},
	} {
		tc.hub.Since = vedette.At(now.Add(-13 * time.Second))
		p := plantStatus{Time: vedette.At(now)}
		if got := strings.Join(p.states(&pipeline.Status{Bus: pipeline.BusStatus{Hub: &tc.hub}}), ", "); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.hub, got, tc.want)
		}
	}
}
