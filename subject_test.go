package vedette_test

import (
	"testing"

	"github.com/vedette-io/vedette"
)

func TestSubjects(t *testing.T) {
	s, site := vedette.Subjects{}, vedette.Subjects{Prefix: "plant.north"}
	for _, c := range []struct{ got, want string }{
		{s.Frame("host", "gate"), "vedette.frame.host.gate"},
		{s.FramesOf("host"), "vedette.frame.host.>"},
		{s.Tensor("yolox", "host1-ab12"), "vedette.tensor.yolox.host1-ab12"},
		{s.Detection("gate", "yolox"), "vedette.detection.gate.yolox"},
		{s.Detections(), "vedette.detection.>"},
		{s.Track("gate"), "vedette.track.gate"},
		{s.Event("gate", "object", "Traffic Light"), "vedette.event.gate.object.traffic_light"},
		{s.Events(), "vedette.event.>"},
		{s.Result("station"), "vedette.result.station"},
		{s.Results(), "vedette.result.>"},
		{s.Trigger("station"), "vedette.trigger.station"},
		{s.Status("infer", "a1"), "vedette.status.infer.a1"},
		{s.Statuses(), "vedette.status.>"},
		{s.Reload(), "vedette.control.reload"},
		{s.Stream("detections"), "VEDETTE_DETECTIONS"},
		{s.Bucket("config"), "vedette_config"},
		{site.Detection("gate", "yolox"), "plant.north.detection.gate.yolox"},
		{site.Stream("detections"), "PLANT_NORTH_DETECTIONS"},
		{site.Bucket("config"), "plant_north_config"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestParseSubjects(t *testing.T) {
	for _, prefix := range []string{"", "plant.north"} {
		s := vedette.Subjects{Prefix: prefix}
		if camera, model, err := s.ParseDetection(s.Detection("line-1", "yolox_nano")); err != nil || camera != "line-1" || model != "yolox_nano" {
			t.Errorf("detection with prefix %q: %q, %q, %v", prefix, camera, model, err)
		}
		if host, camera, err := s.ParseFrame(s.Frame("host-a", "gate")); err != nil || host != "host-a" || camera != "gate" {
			t.Errorf("frame with prefix %q: %q, %q, %v", prefix, host, camera, err)
		}
	}
	s := vedette.Subjects{}
	for _, subject := range []string{
		"", "vedette", "vedette.detection", "vedette.detection.", "vedette.detection.gate", "vedette.detection.gate.",
		"vedette.detection.gate.yolox.more", "vedette.detection.gate.*", "vedette.detection.>", "other.detection.gate.yolox",
		"vedette.frame.gate.yolox", "vedette.detection.GATE.yolox",
	} {
		if camera, model, err := s.ParseDetection(subject); err == nil {
			t.Errorf("%q gave %q, %q", subject, camera, model)
		}
	}
	if _, _, err := s.ParseFrame("vedette.detection.gate.yolox"); err == nil {
		t.Error("a detection's subject was taken for a frame's")
	}
}

func TestCheckPrefix(t *testing.T) {
	for _, p := range []string{"vedette", "a.b", "site-1.line_2"} {
		if err := vedette.CheckPrefix(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range []string{"", ".", "a.", ".a", "a..b", "a.*", ">", "A"} {
		if vedette.CheckPrefix(p) == nil {
			t.Errorf("%q was accepted", p)
		}
	}
}
