package ingest

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// authorize answers the challenges of a camera as HTTP (RFC 7617, RFC 7616)
// and RTSP have them. It is false when none of them is understood.
func authorize(challenges []string, method, uri, user, password string) (string, bool) {
	for _, c := range challenges {
		scheme, rest, _ := strings.Cut(strings.TrimSpace(c), " ")
		if strings.EqualFold(scheme, "digest") {
			if answer, ok := digest(parameters(rest), method, uri, user, password); ok {
				return answer, true
			}
		}
	}
	for _, c := range challenges {
		if scheme, _, _ := strings.Cut(strings.TrimSpace(c), " "); strings.EqualFold(scheme, "basic") {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), true
		}
	}
	return "", false
}

func digest(p map[string]string, method, uri, user, password string) (string, bool) {
	var sum func(string) string
	switch strings.ToUpper(p["algorithm"]) {
	case "", "MD5":
		sum = func(s string) string { h := md5.Sum([]byte(s)); return hex.EncodeToString(h[:]) }
	case "SHA-256":
		sum = func(s string) string { h := sha256.Sum256([]byte(s)); return hex.EncodeToString(h[:]) }
	default:
		return "", false
	}
	if strings.ContainsAny(user, "\"\r\n") {
		return "", false
	}
	secret := sum(user + ":" + p["realm"] + ":" + password)
	request := sum(method + ":" + uri)
	fields := `Digest username="` + user + `", realm="` + p["realm"] + `", nonce="` + p["nonce"] + `", uri="` + uri + `"`
	if p["algorithm"] != "" {
		fields += ", algorithm=" + p["algorithm"]
	}
	if p["opaque"] != "" {
		fields += `, opaque="` + p["opaque"] + `"`
	}
	qop := ""
	for option := range strings.SplitSeq(p["qop"], ",") {
		if strings.EqualFold(strings.TrimSpace(option), "auth") {
			qop = "auth"
		}
	}
	switch {
	case p["qop"] == "":
		return fields + `, response="` + sum(secret+":"+p["nonce"]+":"+request) + `"`, true
	case qop == "":
		return "", false // auth-int only
	}
	cnonce := rand.Text()
	response := sum(secret + ":" + p["nonce"] + ":00000001:" + cnonce + ":auth:" + request)
	return fields + `, qop=auth, nc=00000001, cnonce="` + cnonce + `", response="` + response + `"`, true
}

// parameters reads key=value and key="value" pairs separated by commas.
func parameters(s string) map[string]string {
	out := make(map[string]string)
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeft(s, ", \t") {
		key, rest, ok := strings.Cut(s, "=")
		if !ok {
			break
		}
		var value string
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, `"`) {
			value, s, _ = strings.Cut(rest[1:], `"`)
		} else {
			value, s, _ = strings.Cut(rest, ",")
			value = strings.TrimSpace(value)
		}
		if strings.ContainsAny(value, "\r\n") {
			continue
		}
		out[strings.ToLower(strings.TrimSpace(key))] = value
	}
	return out
}
