package testcam

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
)

// Request is what a [Script] was asked, over RTSP or HTTP.
type Request struct {
	Method, Agent string
	Header        textproto.MIMEHeader
}

// HangUp as an answer ends the connection.
const HangUp = "hang up"

// Script is a server that answers as a function says: a camera with odd
// manners. It speaks RTSP and HTTP, as it is asked.
type Script struct {
	port     *port
	listener *listener
	answer   func(Request) string

	mu    sync.Mutex
	asked []Request
}

// NewScript opens one on a free port. An answer is a status and, in further
// lines, headers: "405 Method Not Allowed"; an empty one is silence. Calls come
// from several goroutines.
func NewScript(answer func(Request) string) (*Script, error) {
	p, err := reserve()
	if err != nil {
		return nil, err
	}
	s := &Script{port: p, answer: answer}
	if s.listener, err = listen(p, s.serve); err != nil {
		p.release()
		return nil, err
	}
	return s, nil
}

// Addr is its host and port.
func (s *Script) Addr() string { return s.port.addr }

// Asked are the requests so far.
func (s *Script) Asked() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.asked...)
}

// Close ends all connections.
func (s *Script) Close() {
	s.listener.close()
	s.port.release()
}

// serve answers until either side hangs up or says what makes no sense.
func (s *Script) serve(conn net.Conn) {
	r := textproto.NewReader(bufio.NewReader(conn))
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		header, err := r.ReadMIMEHeader()
		if err != nil {
			return
		}
		method, _, _ := strings.Cut(line, " ")
		req := Request{Method: method, Agent: header.Get("User-Agent"), Header: header}
		s.mu.Lock()
		s.asked = append(s.asked, req)
		s.mu.Unlock()
		switch answer := s.answer(req); answer {
		case "":
		case HangUp:
			return
		default:
			protocol := "RTSP/1.0"
			if strings.Contains(line, " HTTP/") {
				protocol = "HTTP/1.1"
			}
			answer = strings.ReplaceAll(answer, "\n", "\r\n")
			if _, err := io.WriteString(conn, fmt.Sprintf("%s %s\r\nCSeq: %s\r\n\r\n", protocol, answer, header.Get("CSeq"))); err != nil {
				return
			}
		}
	}
}
