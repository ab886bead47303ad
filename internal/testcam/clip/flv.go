package clip

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Parts of an FLV stream (Adobe Flash Video File Format Specification 10.1,
// annex E), as FFmpeg writes it for H.264.
const (
	flvHeaderSize  = 9 + 4 // the header and the size of the tag before the first
	flvTagHeader   = 11
	flvTagTrailer  = 4
	flvVideo       = 9
	flvCodecAVC    = 7
	flvVideoHeader = 5
	avcHeader      = 0 // packet type: parameter sets
	avcUnit        = 1 // packet type: an access unit
)

var errCut = errors.New("a field is longer than what holds it")

// unitReader takes access units out of an FLV stream.
type unitReader struct {
	r       *bufio.Reader
	started bool
	params  Unit // SPS and PPS
}

func newUnitReader(r io.Reader) *unitReader {
	return &unitReader{r: bufio.NewReader(r)}
}

// next returns the next access unit as soon as its last byte has come, and
// io.EOF behind the last one.
func (u *unitReader) next() (Unit, error) {
	if !u.started {
		if _, err := u.r.Discard(flvHeaderSize); err != nil {
			return nil, err
		}
		u.started = true
	}
	for {
		var head [flvTagHeader]byte
		if _, err := io.ReadFull(u.r, head[:]); err != nil {
			return nil, err
		}
		size := int(head[1])<<16 | int(head[2])<<8 | int(head[3])
		body := make([]byte, size+flvTagTrailer)
		if _, err := io.ReadFull(u.r, body); err != nil {
			return nil, fmt.Errorf("cut in the middle of a frame: %w", io.ErrUnexpectedEOF)
		}
		body = body[:size]
		if head[0] != flvVideo || size < flvVideoHeader || body[0]&0x0f != flvCodecAVC {
			continue
		}
		switch payload := body[flvVideoHeader:]; body[1] {
		case avcHeader:
			params, err := parameterSets(payload)
			if err != nil {
				return nil, fmt.Errorf("parameter sets: %w", err)
			}
			u.params = params
		case avcUnit:
			unit, err := nalUnits(payload)
			if err != nil {
				return nil, fmt.Errorf("access unit: %w", err)
			}
			if unit.Key() {
				unit = append(append(Unit{}, u.params...), unit...)
			}
			return unit, nil
		}
	}
}

// parameterSets reads an AVCDecoderConfigurationRecord (ISO/IEC 14496-15,
// 5.3.3.1): SPS and PPS.
func parameterSets(b []byte) (Unit, error) {
	const counts = 5
	if len(b) < counts+1 {
		return nil, errCut
	}
	var sets Unit
	count, b := int(b[counts]&0x1f), b[counts+1:]
	for range 2 { // the SPS, then the PPS
		for range count {
			if len(b) < 2 {
				return nil, errCut
			}
			size := int(binary.BigEndian.Uint16(b))
			if len(b) < 2+size {
				return nil, errCut
			}
			sets = append(sets, b[2:2+size])
			b = b[2+size:]
		}
		if len(b) == 0 {
			break
		}
		count, b = int(b[0]), b[1:]
	}
	return sets, nil
}

// nalUnits splits NAL units with lengths of four bytes.
func nalUnits(b []byte) (Unit, error) {
	var unit Unit
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, errCut
		}
		size := int(binary.BigEndian.Uint32(b))
		if len(b)-4 < size {
			return nil, errCut
		}
		unit = append(unit, b[4:4+size])
		b = b[4+size:]
	}
	return unit, nil
}
