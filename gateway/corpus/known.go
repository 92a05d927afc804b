package corpus

import "strings"

// known are whole messages: of the tests of net/http and llhttp by what they try, and of what has been found in gateways.
var known = []string{
	// Without anything wrong.
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n" + smuggled,
	"HEAD /public/x HTTP/1.1\r\nHost: {host}\r\n\r\nGET /public/y HTTP/1.1\r\nHost: {host}\r\n\r\nDELETE /public/z HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nhello" + smuggled,
	"OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/grpc\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\x00\x00\x00\x00\x00\r\n0\r\n\r\n",

	// Smuggling, in the words of who found it.
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + smuggled + "\r\n0\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nDummy: x\nContent-Length: 23\r\n\r\nGET / HTTP/1.1\r\nDummy: GET /admin HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nx:\rTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nx:x\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n0\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nConnection: close\r\nHost: {host}\r\n\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nFoo: bar\r\n Content-Length: 38\r\n\r\nGET /bye HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nTransfer-Encoding: chunked \r\n\r\n5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\nGET / HTTP/1.1 \r\nHost: a\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nABCDE0\r\n\r\n" + smuggled,
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n2;\n\r\naa\r\n0\r\n\r\n" + smuggled,
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nAAX\r\n0\r\n\r\n" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\nTransfer-Encoding:\r\nTransfer-Encoding:\r\nTransfer-Encoding:\r\n\r\n2\r\nAA\r\n0\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n\r\n\r\n" + smuggled,
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nSec-WebSocket-Key1: x\r\n\r\nxxxxxxxx" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 123\r\n\r\nPOST /url HTTP/1.1\r\nContent-Length: 456\r\n\r\n",
	"PUT /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\rabc",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
	"CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n" + smuggled,
	"TRACE /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n",

	// net/http's own.
	"GET http://www.techcrunch.com/ HTTP/1.1\r\nHost: www.techcrunch.com\r\nProxy-Connection: keep-alive\r\nContent-Length: 7\r\n\r\nabcdef\n???",
	"GET //user@host/is/actually/a/path/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"GET ../../../../etc/passwd HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"GET  HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\nTrailer-Key: Trailer-Value\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: 9999\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\nContent-Length: notdigits\r\n\r\n3\r\nfoo\r\n0\r\n\r\n",
	"CONNECT /_goRPC_ HTTP/1.1\r\n\r\n", "CONNECT 127.0.0.1:6060 HTTP/1.1\r\n\r\n", "NOTIFY * HTTP/1.1\r\nServer: foo\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nCookie: a=\"\r\nCookie: b=c\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "GET /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip,chunked\r\n\r\n0\r\n\r\n",
	"HEAD /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", "GET /public/x HTTP/1.1\r\nX-A: b\r\nHost: {host}\r\n: empty\r\n\r\n", "GET /public/x HTTP/1.1\r\n\x01Host: {host}\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n0a\r\nBody here\n\r\n09\r\ncontinued\r\n0\r\n\r\n" + smuggled,

	// llhttp's.
	"PUT /public/x HTTP/1.0\r\nHost: {host}\r\n\r\nPUT /public/y HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4\r\n\r\nq=42\r\n\r\nGET /public/y HTTP/1.1",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nConnection: close\t\r\n\r\nq=42\r\n\r\nGET /public/y HTTP/1.1\r\n",
	"PUT /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: keep\ralive\r\n\r\n", "PUT /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: close, token, upgrade, token, keep-alive\r\n\r\n",
	"GET /demo HTTP/1.1\r\nHost: {host}\r\nConnection: Something,\r\n Upgrade, ,Keep-Alive\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\r\nHot diggity dogg",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\r\nHot diggity dogg",
	"PUT /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nContent-Length: 4\r\nUpgrade: ws\r\n\r\nabcdefgh", "POST /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: HTTP/2.0\r\nContent-Length: 15\r\n\r\nsweet post body\\Hot diggity dogg",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive, \r\n upgrade\r\nUpgrade: WebSocket\r\n\r\nHot", "PUT /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 003\r\nOhai: world\r\n\r\nabc", "PUT /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000000000000000000000\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length:  42 \r\n\r\n", "POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length:\t42\t  \r\n\r\n", "POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4 2\r\n\r\n", "PUT /public/x HTTP/1.1\r\nHost: {host}\r\nContent\rLength: 003\r\n\r\nabc",
	"GET /music/sweet/music ICE/1.0\r\nHost: {host}\r\n\r\n", "GET /public/x IHTTP/1.0\r\nHost: {host}\r\n\r\n", "PUT /public/x RTSP/1.0\r\nHost: {host}\r\n\r\n", "ANNOUNCE /public/x HTTP/1.0\r\nHost: {host}\r\n\r\n", "MKCOLA /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n", "SOURCE /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nFoo: 1\rBar: 2\r\n\r\n", "GET /public/x HTTP/1.1\r\nHost: {host}\r\nFo@: Failure\r\n\r\n", "GET /public/x HTTP/1.1\r\nHost: {host}\r\nFoo\x01\x7ftest: Bar\r\n\r\n", "GET /public/x HTTP/1.1\r\nHost: {host}\r\nname\r\n : value\r\n\r\n", "GET /public/x HTTP/1.1\r\n Host: {host}\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nConnection\r\x1b\x35\xd5eep-Alive\r\nAccept-Encoding: gzip\r\n\r\n", "POST /public/x HTTP/1.1\nTransfer-Encoding: chunked\nTrailer: Baz\r\nFoo: abc\nBar: def\n\n1\nA\n1;abc\nB\n1;def=ghi\nC\n1;jkl=\"mno\"\nD\n0\n\nBaz: ghi\n\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nHeader1: \x0c\r\n\r\n", "GET /public/x HTTP/1.1\r\nHost: {host}\r\nHeader1: Okay\r\n\r\n\r\nGET /public/y HTTP/1.1\r\nHost: {host}\r\nHeader1: \x0c\r\n\r\n", "GET /public/x HTTP/5.6\r\nHost: {host}\r\n\r\n", "CONNECT home_0.netscape.com:443 HTTP/1.0\r\nContent-Length: 10\r\n\r\nblarfcicle\"",
	"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\r\n", "PRI * HTTP/1.1\r\nHost: {host}\r\n\r\nSM\r\n\r\n", "QUERY /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Type: example/query\r\nContent-Length: 41\r\n\r\nselect surname, givenname, email limit 10",
	"POST /public/aaa HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\n\r\nAAA\r\nPUT /public/bbb HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\nBBBB\r\nPATCH /public/ccc HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\n\r\nCCCC",
	"GET /public/x HTTP/1.1\r\nHost: 0.0.0.0=5000\r\n\r\n", "GET /public/x HTTP/1.1\r\nHost: {host}\r\naaaaaaaaaaaaa:++++++++++\r\n\r\n", "\r\nGET /public/x HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /\r\n\r\n", "GET /public/x HTTP/1.1\rLine: 1\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nLine1:   abc\r\n\tdef\r\n ghi\r\n\t\tjkl\r\n  mno \r\n\t \tqrs\r\nLine2: \t line2\t\r\nLine3:\r\n line3\r\nLine4: \r\n \r\nConnection:\r\n close\r\n\r\n", "GET /public/x HTTP/1.1\r\nHost: {host}\r\nTest: Düsseldorf\r\n\r\n", "OPTIONS /public/x HTTP/1.1\r\nHost: {host}\r\nHeader2: \xffValue2\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5;ilovew3;somuchlove=aretheseparametersfor;another=withvalue\r\nhello\r\n6;blahblah;blah\r\n world\r\n0\r\n\r\n" + smuggled, "POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-encoding: chunked\r\n\r\n2 erfrferferf\r\naa\r\n0 rrrr\r\n\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5;ilovew3=\"I \\\"love\\\"; \\\\extensions\\\\\";somuchlove=\"aretheseparametersfor\";blah;foo=bar\r\nhello\r\n6;blahblah;blah\r\n world\r\n0\r\n\r\n", "POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n5;ilovew3=\"abc\";somuchlove=\"def; ghi\r\nhello\r\n6;blahblah;blah\r\n world\r\n0\r\n\r\n",
	"POST /public/x?q=search#hey HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nWorld", "PUT /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n\r\n", "PUT /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n3 \n  \r\nfoo\r\n0\r\n\r\n", "PUT /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n  abc\r\n\r\n5\r\nWorld\r\n0\r\n\r\n",
	"PUT /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\na \r\n0123456789\r\n0\r\n\r\n" + smuggled, "GET /public/with_\"lovely\"_quotes?foo=\\\"bar\\\" HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /public/test.cgi?foo=bar?baz HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET http://hypnotoad.org:1234?hail=all HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /public/test.cgi?query=| HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"GET /public/δ¶/δt/pope?q=1#narf HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET http://a%12:b!&*$@hypnotoad.org:1234/toto HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /public/foo bar/ HTTP/1.1\r\nHost: {host}\r\n\r\n", "GET /public/x HTTP/1.1\r\nHost: {host}\r\nX-SSL-Nonsense:   -----BEGIN CERTIFICATE-----\r\n\tMIIFbTCCBFWgAwIBAgICH4cwDQYJKoZIhvcNAQEFBQAwcDELMAkGA1UEBhMCVUsx\r\n\t-----END CERTIFICATE-----\r\n\r\n",

	// Long, and many.
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\nX-A: " + strings.Repeat("x", 70_000) + "\r\n\r\n",
	"GET /public/" + strings.Repeat("x", 70_000) + " HTTP/1.1\r\nHost: {host}\r\n\r\n",
	"GET /public/x HTTP/1.1\r\nHost: {host}\r\n" + strings.Repeat("X-A: b\r\n", 1200) + "\r\n",
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;x\r\ny\r\n", 400) + "0\r\n\r\n" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n1;" + strings.Repeat("x", 20_000) + "\r\ny\r\n0\r\n\r\n" + smuggled,
	"POST /public/x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("0123456789", 4000) + smuggled,
}
