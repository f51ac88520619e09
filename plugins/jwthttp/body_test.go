package jwthttp_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/shop-connect/shop-connect/internal/quarantine"
)

// compressors by content encoding, as clients have them: of one piece, and as a stream of unknown length.
var compressors = map[string]func(t *testing.T, body []byte) []byte{
	"gzip": func(t *testing.T, body []byte) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	},
	"zstd": func(t *testing.T, body []byte) []byte {
		w, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.EncodeAll(body, nil)
	},
	"ZSTD": func(t *testing.T, body []byte) []byte {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
		if err != nil {
			t.Fatal(err)
		}
		for chunk := body; len(chunk) > 0; chunk = chunk[min(len(chunk), 64<<10):] {
			if _, err := w.Write(chunk[:min(len(chunk), 64<<10)]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	},
}

// postAs sends a body of a media type and content encoding.
func (s *shop) postAs(t testing.TB, mediaType, encoding string, body []byte, chunked bool) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, bulkPath, bytes.NewReader(body))
	r.Header = s.header(t)
	r.Header.Set("Content-Type", mediaType)
	if encoding != "" {
		r.Header.Set("Content-Encoding", encoding)
	}
	if chunked {
		r.ContentLength = -1
	}
	w := httptest.NewRecorder()
	s.server.ServeHTTP(w, r)
	return w
}

func TestCompressedBodiesAreTaken(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	sent := 0
	for encoding, compress := range compressors {
		for _, chunked := range []bool{false, true} {
			w := shop.postAs(t, "application/json", encoding, compress(t, purchaseBody(2000, true)), chunked)
			if w.Code != 200 || !strings.Contains(w.Body.String(), `"success_count":2000,"error_count":0`) {
				t.Errorf("%s, chunked %v: answer is %d %s", encoding, chunked, w.Code, w.Body)
			}
			sent += 2000
		}
	}
	if len(got.messages) != sent {
		t.Errorf("%d messages, want %d", len(got.messages), sent)
	}
	if first := text(t, got.messages[0]); !strings.HasPrefix(first, `{"id":"0190f3c2`) {
		t.Errorf("the first message is %s", first)
	}
}

func TestCompressedBodyIsBoundedByWhatItBecomes(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases+"\nmax_body_bytes: 2000000"), got.take)
	bomb := append(purchaseBody(1, true), bytes.Repeat([]byte(" "), 256<<20)...)
	for encoding, compress := range compressors {
		compressed := compress(t, bomb)
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		wantProblem(t, shop.postAs(t, "application/json", encoding, compressed, false), http.StatusRequestEntityTooLarge)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s: %d bytes become 256 MiB, and refusing them takes %d MiB", encoding, len(compressed), used>>20)
		}
	}
	for encoding, compress := range compressors {
		// at the limit, and one byte above it
		fits := append(purchaseBody(1, true), bytes.Repeat([]byte(" "), 2_000_000)...)[:2_000_000]
		if w := shop.postAs(t, "application/json", encoding, compress(t, fits), false); w.Code != 200 {
			t.Errorf("%s: a body at the limit is answered %d %s", encoding, w.Code, w.Body)
		}
		wantProblem(t, shop.postAs(t, "application/json", encoding, compress(t, append(fits, ' ')), false), http.StatusRequestEntityTooLarge)
	}
}

func TestUnknownOrDamagedCompressionIsRefused(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	plain := []byte(bulk(goodRow))
	gzipped, zstandard := compressors["gzip"](t, plain), compressors["zstd"](t, plain)
	for _, tc := range []struct {
		name, encoding string
		body           []byte
		status         int
	}{
		{"not gzip", "gzip", plain, 400},
		{"not zstd", "zstd", plain, 400},
		{"empty gzip", "gzip", nil, 400},
		{"empty zstd", "zstd", nil, 400},
		{"gzip cut off", "gzip", gzipped[:len(gzipped)-9], 400},
		{"zstd cut off", "zstd", zstandard[:len(zstandard)-9], 400},
		{"gzip with another checksum", "gzip", append(bytes.Clone(gzipped[:len(gzipped)-8]), 1, 2, 3, 4, 5, 6, 7, 8), 400},
		{"gzip with something behind", "gzip", append(bytes.Clone(gzipped), "behind"...), 400},
		{"twice", "gzip, gzip", gzipped, 415},
		{"brotli", "br", plain, 415},
		{"unknown", "\x00", plain, 415},
	} {
		w := shop.postAs(t, "application/json", tc.encoding, tc.body, false)
		t.Log(tc.name, w.Body)
		if wantProblem(t, w, tc.status); tc.status == 415 && w.Header().Get("Accept-Encoding") == "" {
			t.Errorf("%s: what is taken is not said", tc.name)
		}
	}
	if len(got.messages) > 0 {
		t.Errorf("%d messages of bodies that are refused", len(got.messages))
	}
	if w := shop.postAs(t, "application/json", "identity", plain, false); w.Code != 200 {
		t.Errorf("identity is answered %d %s", w.Code, w.Body)
	}
}

func TestLinesAreRows(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases), got.take)
	body := "\n" + goodRow + "\r\n  \n\t" + noIDRow + " \n{\"id\":\n" + badRow + "\n\n" + goodRow + " x\n[]\n" + goneRow
	for _, encoding := range []string{"", "gzip"} {
		got.messages = nil
		sent := []byte(body)
		if encoding != "" {
			sent = compressors[encoding](t, sent)
		}
		w := shop.postAs(t, "application/x-ndjson; charset=utf-8", encoding, sent, false)
		answer := decode[bulkAnswer](t, w.Body)
		if w.Code != 200 || answer.SuccessCount != 3 || answer.ErrorCount != 4 || len(got.messages) != 7 {
			t.Fatalf("answer is %d %+v, %d messages", w.Code, answer, len(got.messages))
		}
		rows := got.inOrder(t)
		// I4: what is not a row is named by its place and kept with its bytes
		for i, want := range map[int]string{2: `{"id":`, 3: badRow, 4: goodRow + " x", 5: "[]"} {
			if text(t, rows[i]) != want || meta(rows[i], quarantine.MetaBy) != "api" {
				t.Errorf("row %d is %s", i, text(t, rows[i]))
			}
		}
		for i, want := range []int{2, 3, 4, 5} {
			if answer.Errors[i].Index != want || len(answer.Errors[i].Reasons) == 0 {
				t.Errorf("refusal %d is %+v", i, answer.Errors[i])
			}
		}
		if text(t, rows[0]) != goodRow || text(t, rows[6]) != goneRow {
			t.Error("good rows are changed")
		}
	}
}

func TestLinesHaveTheLimitsOfRows(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases+"\nmax_rows: 3\nmax_row_bytes: 500"), got.take)
	const lines = "application/x-ndjson"
	if w := shop.postAs(t, lines, "", []byte(" \n\n"), false); w.Code != 200 || !strings.Contains(w.Body.String(), `"success_count":0`) {
		t.Errorf("no rows are answered %d %s", w.Code, w.Body)
	}
	wantProblem(t, shop.postAs(t, lines, "", []byte(strings.Repeat("1\n", 4)), false), http.StatusRequestEntityTooLarge)
	p := wantProblem(t, shop.postAs(t, lines, "", []byte("1\n"+strings.Repeat("x", 501)), false), http.StatusRequestEntityTooLarge)
	if len(p.Errors) != 1 || p.Errors[0].Location != "body[1]" {
		t.Errorf("problem is %+v", p)
	}
	if len(got.messages) > 0 {
		t.Errorf("%d messages of bodies that are refused", len(got.messages))
	}
}

func TestSingleRowEndpointTakesNoLines(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(strings.ReplaceAll(purchases, "rows_at: purchases", "")), got.take)
	wantProblem(t, shop.postAs(t, "application/x-ndjson", "", []byte(goodRow), false), http.StatusUnsupportedMediaType)
	if w := shop.postAs(t, "application/json", "zstd", compressors["zstd"](t, []byte(goodRow)), false); w.Code != 202 {
		t.Errorf("a compressed row is answered %d %s", w.Code, w.Body)
	}
}

// A client that says it will send much, and does not, keeps nobody out.
func TestLongBodiesHaveOnlyTheRoomOfWhatHasArrived(t *testing.T) {
	shop, got := newShop(t), &collector{}
	shop.run(t, input(purchases+"\ntimeout: 1s\nmax_body_bytes: 16000000\nmax_pending_bytes: 16000000"), got.take)
	body := purchaseBody(10_000, true)
	if len(body) < 1<<20 {
		t.Fatalf("a body of %d bytes is not long", len(body))
	}
	var bodies []*io.PipeWriter
	answers := make(chan int)
	for range 16 {
		reader, writer := io.Pipe()
		r := httptest.NewRequest(http.MethodPost, bulkPath, reader)
		r.ContentLength, r.Header = 15_000_000, shop.header(t)
		go func() {
			w := httptest.NewRecorder()
			shop.server.ServeHTTP(w, r)
			answers <- w.Code
		}()
		// returns once the bytes are read, and with them the announcement
		if _, err := writer.Write(body[:100_000]); err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, writer)
	}
	if w := shop.postAs(t, "application/json", "", body, false); w.Code != 200 {
		t.Errorf("beside slow clients the answer is %d %s", w.Code, w.Body)
	}
	for _, slow := range bodies {
		_ = slow.CloseWithError(io.ErrUnexpectedEOF)
		if status := <-answers; status != http.StatusBadRequest {
			t.Errorf("a body that ends early is answered %d", status)
		}
	}
	fits := slices.Concat(body, bytes.Repeat([]byte(" "), 16_000_000-len(body)))
	if w := shop.postAs(t, "application/json", "", fits, false); w.Code != 200 {
		t.Errorf("the room of bodies that ended is not given back: %d %s", w.Code, w.Body)
	}
}
