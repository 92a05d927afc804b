package corpus

import (
	"strconv"
	"strings"
)

// The families of parts, in the order in which they stand in a message.
const (
	before = iota
	requestLine
	host
	framing
	field
	body
	behind
	familyCount
)

// absent is a part that is left out.
const absent = "-"

func decimal(n int) string { return strconv.Itoa(n) }

// smuggled is what must never be taken for a request of somebody's, unless it is one: it says of itself who it is from.
const smuggled = "GET /public/smuggled HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: smuggled\r\nX-User: admin\r\nX-User-Id: admin\r\n\r\n"

var lineEnds = []string{"\n", "\r", "\n\r", "\r\r\n", "\r\n ", "\r\n\t", "\r\n\r\n", " \r\n", "\x00\r\n", "\x0b", "\x0c", "\u0085", "\u2028", ""}

// pieces are what a message may have in a place where it has nothing to do.
var pieces = []string{
	"\r", "\n", "\r\n", "\r\n\r\n", "\n\n", " ", "\t", "\x00", "\x0b", "\x0c", "\x7f", "\x80", "\xff", ":", ";", ",", "=", "\"", "\\", "%", "%00", "%0d%0a", "#", "?", "@", "/", "//", "..", "*",
	"0", "1", "5", "a", "f", "-", "+", "0x", "chunked", "identity", "gzip, ", "HTTP/1.1", "HTTP/1.0", " HTTP/1.1\r\n", "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n",
	"Transfer-Encoding: identity\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n", "Expect: 100-continue\r\n", "Host: evil.example\r\n", "0\r\n\r\n", "5\r\nhello\r\n", "1;a=b\r\nx\r\n",
	"X-User: admin\r\n", "X_User: admin\r\n", "https://", "http://{host}", smuggled,
}

// families are the variants of each part.
func families() [familyCount][]string {
	return [familyCount][]string{before: befores, requestLine: requestLines(), host: hosts, framing: framings(), field: fields, body: bodies(), behind: behinds}
}

var befores = []string{"\r\n", "\n", "\r\n\r\n", "\r", " ", "\x00", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2", "\xef\xbb\xbf", "HTTP/1.1 100 Continue\r\n\r\n", "X-A: b", "\x16\x03\x01"}

// requestLines are methods, targets and versions, each beside what has nothing wrong.
func requestLines() (lines []string) {
	for _, method := range []string{
		"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PRI", "M-SEARCH", "post", "Post", "gEt", "POST ", " POST", "POST\t", "PO ST", "PO\x00ST", "P(ST", "PÖST", "", "\"GET\"", "GET,POST",
		"GET /public/y HTTP/1.1\r\nHost: {host}\r\n\r\nPOST", strings.Repeat("M", 64), "_", "$", "SOURCE", "PURGE", "QUERY", "ANNOUNCE",
	} {
		lines = append(lines, method+" /public/x HTTP/1.1")
	}
	for _, target := range []string{
		"/", "/public/", "*", "/public/x?", "/public/x?a=b&c", "/public/x#y", "/public/x%23y", "/public/x?y#z", "/public/%00", "/public/%0d%0aX-User:%20admin", "/public/\x00", "/public/\x01", "/public/\x7f",
		"/public/x y", "/public/x\ty", "/public/ü", "/public/\xff", "/public/%ff", "/public/%zz", "/public/%", "/public/%2", "/public/..", "/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/public//x",
		"//public/x", "///", "/./public/x", "/public/..;/admin", "/public/;a=b/x", "/public\\x", "/public/..\\admin", "/public/%5c", "/public/%252e%252e/admin", "/public/%c0%ae%c0%ae/admin", "/public/%u002e", "/PUBLIC/x",
		"public/x", "x", "", "?x", "#", "{host}", "{host}:443", "http:/public/x", "http:///public/x", "https:///public/x", "http://{host}/public/x", "https://{host}/public/x", "HTTPS://{HOST}/public/x",
		"https://{host}:443/public/x?y", "https://{host}:8443/public/x", "https://{host}./public/x", "https://{host}", "https://{host}?x", "https://{host}#x", "https://evil.example/public/x", "https://u@{host}/public/x",
		"https://{host}@evil.example/public/x", "https://evil.example@{host}/public/x", "https://u:p@{host}/public/x", "https://{host}\\@evil.example/", "https://[::1]/public/x", "https://%61pp/", "ftp://{host}/public/x",
		"wss://{host}/public/x", "file:///etc/passwd", "javascript:1", "https:/public/x", "https:public/x", "//{host}/public/x", "//evil.example/public/x", "//u@{host}/public/x", "/public/x?" + strings.Repeat("a=1&", 500),
		"/public/" + strings.Repeat("x", 3000), "/public/x?\"<>^`{|}", "/public/<script>", "/public/x?%0d%0a", "/public/x?a=%00", "/public/[x]", "/public/x;jsessionid=1", "/public/x:80", "/public/@evil.example", "/public/%2f%2fevil.example",
	} {
		lines = append(lines, "GET "+target+" HTTP/1.1")
	}
	for _, version := range []string{
		"HTTP/1.0", "HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/2", "HTTP/3", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/1.10", "HTTP/01.1", "HTTP/1.01", "HTTP/11", "HTTP/1,1", "HTTP/ 1.1", "HTTP /1.1", " HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1\t",
		"http/1.1", "Http/1.1", "HTTPS/1.1", "HTTP/+1.1", "HTTP/-1.1", "HTTP/1.1.1", "HTTP/1.\x01", "HTTP/\xb1.1", "HTTP/1.1 HTTP/1.1", "HTTP/1.0 HTTP/1.1", "ICE/1.0", "RTSP/1.0", "IHTTP/1.0", "HTTP/5.6", "HTTP/1.1\x00", "HTTP/1.1\r", "HTTP/1.1;x", "",
	} {
		lines = append(lines, "POST /public/x "+version)
	}
	return append(lines, "POST /public/x", "POST  /public/x HTTP/1.1", "POST /public/x  HTTP/1.1", "POST\x0b/public/x HTTP/1.1", "POST /public/x\x0cHTTP/1.1", "POST\r\n /public/x HTTP/1.1", "POST", "POST ", "HTTP/1.1 200 OK",
		"GET /admin HTTP/1.1", "POST /in/x HTTP/1.1", "GET /in/x?y HTTP/1.0", "GET /public/x HTTP/1.1\nX-A: b", "GET /public/x HTTP/1.1\rX-A: b")
}

var hosts = []string{
	absent, "Host:", "Host: ", "host:{host}", "HOST:\t{host}\t", "Host: {HOST}", "Host: {host}:443", "Host: {host}:8443", "Host: {host}:", "Host: {host}:0443", "Host: {host}:x", "Host: {host}:443:443", "Host: {host}.", "Host: {host}..", "Host: evil.example",
	"Host: {host}\r\nHost: {host}", "Host: {host}\r\nHost: evil.example", "Host: evil.example\r\nHost: {host}", "Host: {host}, evil.example", "Host: {host} evil.example", "Host: u@{host}", "Host: {host}@evil.example", "Host: {host}/public", "Host: {host}?x",
	"Host: {host}#x", "Host: {host}\\x", "Host: https://{host}", "Host: //{host}", "Host: [::1]", "Host: [::1", "Host: 127.0.0.1", "Host: %61pp", "Host: {host}%00", "Host: {host}\x00", "Host: \xff{host}", "Host: {host}\x0b", "Host : {host}", " Host: {host}",
	"Host:\r\n {host}", "Host: {host}\r\n evil.example", "Host: {host}\r\n\tx", "Host\x00: {host}", "Host;: {host}", "H\xf6st: {host}", "Hos_t: {host}", "Host: a_b.{host}", "X-Host: {host}", "Host: .", "Host: *", "Host: \"{host}\"", "Host: ({host})",
	"Host: {host}\rHost: evil.example", "Host: {host}\nHost: evil.example", "Host: xn--a.{host}", "Host: ü.{host}", "Host: " + strings.Repeat("a.", 200) + "{host}", "Host: {host}\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example",
}

// framings are what says how long a body is.
func framings() (lines []string) {
	lines = append(lines, absent, "X-A: b")
	for _, length := range []string{
		"0", "4", "6", "05", "005", strings.Repeat("0", 30) + "5", "+5", "-5", "-0", "5.0", "5,", ",5", "5, 5", "5,5", "5, 6", "5;6", "5 ", "5 5", " 5", "\t5", "0x5", "5h", "0b101", "0o5", "1e1", "1_0", "5_", "٥", "５", "", " ", "\"5\"", "x", "5\x00",
		"5\x0b", "\x0c5", "5\r", "5\n", "NaN", "99", "2147483648", "4294967301", "4294967296", "9223372036854775807", "9223372036854775808", "18446744073709551616", "18446744073709551621", "340282366920938463463374607431768211461", "5\r\n ", "\r\n 5", "5\r\n 0",
	} {
		lines = append(lines, "Content-Length: "+length)
	}
	lines = append(lines, "Content-Length:5", "content-length: 5", "CONTENT-LENGTH: 5", "Content-Length : 5", "Content-Length\t: 5", " Content-Length: 5", "Content-Length\x00: 5", "Content-Length\xa0: 5", "Content_Length: 5", "Content Length: 5", "Content-Length", "Content-Length;: 5",
		"Content-Length: 5\r\nContent-Length: 5", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 0\r\nContent-Length: 5", "Content-Length: 5\r\ncontent-length: 0", "X: y\rContent-Length: 5", "X: y\nContent-Length: 5", "Content-Length: 5\nTransfer-Encoding: chunked",
		"Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 5", "Transfer-Encoding: chunked\r\nContent_Length: 5", "Transfer_Encoding: chunked\r\nContent-Length: 5", "Content-Length: 5\r\nTransfer-Encoding: identity",
		"Content-Length: 5\r\nTransfer-Encoding:", "Content-Length: 5\r\nTransfer-Encoding : chunked", "Content-Length: 5\r\n Transfer-Encoding: chunked", "Connection: Content-Length\r\nContent-Length: 5", "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
		"Content-Encoding: chunked", "TE: chunked", "Trailer: Content-Length\r\nTransfer-Encoding: chunked", "Trailer: Transfer-Encoding, Host, X-User\r\nTransfer-Encoding: chunked", "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5", "Sec-WebSocket-Key1: x\r\nContent-Length: 5")
	for _, coding := range []string{
		"chunked", "Chunked", "CHUNKED", "chunKed", "chunked ", " chunked", "\tchunked", "chunked\t", "chunked,", ",chunked", ", chunked", "chunked, ", "chunked, chunked", "chunked;q=1", "chunked; a=b", "chunked, identity", "identity, chunked", "identity", "gzip, chunked",
		"gzip", "chunked, gzip", "deflate", "xchunked", "x-chunked", "chunkedx", "chunke", "chunked-", "\"chunked\"", "'chunked'", "[chunked]", "chun\"\"ked", "c\thunked", "chunked\x00", "\x00chunked", "\x0bchunked", "chunked\x0b", "\x0cchunked", "chunked\x85", "\xa0chunked", "chunked\x7f",
		"chunĸed", "ｃhunked", "", " ", "\r\n chunked", "\r\n\tchunked", "chunked\r\n ", "chunked\r\n x", "chunked\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding: identity", "identity\r\nTransfer-Encoding: chunked", "chunked\r\nTransfer-Encoding:", "chunked\r", "chunked\n",
		"chunked\r\nTransfer-encoding: cow", "cow\r\nTransfer-encoding: chunked", "pigeons", "chunkedchunked",
	} {
		lines = append(lines, "Transfer-Encoding: "+coding)
	}
	return append(lines, "Transfer-Encoding:chunked", "transfer-encoding: chunked", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "Transfer-Encoding\x00: chunked", "Transfer-Encoding\xa0: chunked", "Transfer_Encoding: chunked", "Transfer Encoding: chunked",
		"Transfer-Encoding", "Transfer-\r\nEncoding: chunked", "X: y\rTransfer-Encoding: chunked", "X: y\nTransfer-Encoding: chunked", "X:\rTransfer-Encoding: chunked", "X:\nTransfer-Encoding: chunked", "Tranſfer-Encoding: chunked", "\x00Transfer-Encoding: chunked")
}

var fields = []string{
	"Expect: 100-continue", "Expect: 100-Continue", "Expect: 100-continue, x", "Expect: 100", "Expect:", "Expect: x", "Expect: 100-continue\r\nExpect: 100-continue", "Expect : 100-continue",
	"Connection: close", "Connection: keep-alive", "Connection: close, keep-alive", "Connection: keep-alive, close", "Connection: Close", "Connection:", "Connection: ,", "Connection: x", "Connection: upgrade", "Connection: close\r\nConnection: keep-alive", "Connection: Host", "Connection: X-User",
	"Connection: X-Request-Id, X-User, X-User-Id, Cookie, Content-Length", "Connection: \"close\"", "Connection: close;q=0", "Connection : close", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive", "Connection: close, \r\n x",
	"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Connection: upgrade\r\nUpgrade: ws", "Upgrade: TLS/1.0", "Upgrade: h2c, websocket",
	"Connection: Upgrade\r\nUpgrade: HTTP/2.0", "TE: trailers", "TE: trailers, deflate", "Connection: TE\r\nTE: trailers", "Trailer: X-A", "Trailer: Content-Length", "Trailer: X-User", "Max-Forwards: 0",
	"X-User: admin", "x-user: admin", "X_User: admin", "X-User : admin", "X.User: admin", "X-User\x00: admin", " X-User: admin", "X-A: b\r\n X-User: admin", "X-A: b\rX-User: admin", "X-A: b\nX-User: admin", "X-A: b\r\n\x00X-User: admin", "X-A:\r\n X-User: admin", "X-User-Id: admin", "X_USER_ID: admin",
	"X-User-Roles: admin", "X-User-Assertion: x.y.z", "X-Request-Id: smuggled", "X_Request_Id: smuggled", "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: evil.example", "Forwarded: for=127.0.0.1", "X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-HTTP-Method-Override: DELETE", "X-Real-IP: 127.0.0.1",
	"X-A:", "X-A: ", "X-A: b ", "X-A:b", "X-A: b\r\nX-A: c", "X-A: \x00", "X-A: a\x00b", "X-A: a\x01b", "X-A: a\x7fb", "X-A: \xff", "X-A: ü", "X-A: a\tb", "X-A: a\x0bb", "X-A: a\x0cb", "X-A: a\rb", "X-A: a\nb", "X-A: \r", "X-A", "X-A b", ": b", ":", "X A: b", "X\tA: b", "X(A): b", "X@: b", "X/A: b", "X\"A: b", "X\x01A: b", "\xffX: b", "X-Ä: b",
	"X_A: b", "X.A: b", "X-A: b\r\n c", "X-A: b\r\n\tc", "X-A: b\r\n ", "X-A:\r\n b", "X-A: b\r\n\r\n c", "X-A: =?utf-8?q?x?=", "X-A: \"\r\n\"", "X-A: " + strings.Repeat("x", 5000), "X-" + strings.Repeat("a", 2000) + ": b", "X-A: b\r\n" + strings.Repeat("X-B: c\r\n", 200) + "X-C: d", "0: 0", "!#$%&'*+-.^_`|~: b", "HTTP/1.1 200 OK: x",
	"Cookie: a=b", "Cookie: a=b; __Secure-sso=x; c=d", "Cookie: a=b\r\nCookie: c=d", "Authorization: Bearer x", "Authorization: Basic YTpi", "Content-Type: text/plain", "Content-Type: multipart/form-data; boundary=x", "Range: bytes=0-4", "Host-: x", "Content-Length-: 0", "Accept-Encoding: gzip\r\nAccept: */*\r\nUser-Agent: x",
}

// bodies are such as a length or a coding may be wrong about.
func bodies() (all []string) {
	all = append(all, "", "h", "hello!", "hell\x00", "\r\n", "\r\n\r\n", "0\r\n\r\n", "0\n\n", "\xff\xfe\x00\x01", "GET / HTTP/1.1\r\n\r\n", "{\"a\": \"\\u0000\"}", strings.Repeat("x", 5000), smuggled)
	for _, size := range []string{
		"5", "05", "0005", "00000000000000005", strings.Repeat("0", 40) + "5", "4", "6", "5 ", "5\t", " 5", "\t5", "+5", "-5", "-0", "0x5", "5h", "5.0", "5,", "5;", "5;a", "5;a=b", "5 ;a=b", "5; a = b", "5;a=\"b\"", "5;a=\"\r\n\"", "5;a=\"b", "5;\x00", "5;\n", "5;a\rb", "5\x00", "5\x0b", "5\x0c", "5 5", "5 x",
		"g", "", ";", "x", "\x05", "5\r", "5\r\r;x", "\r\n5", "100000005", "10000000000000005", "fffffffffffffffb", "7fffffffffffffff", "8000000000000005", "ffffffff", "80000005", "5;" + strings.Repeat("x", 3000), "5" + strings.Repeat(";a=b", 300), "5\xa0", "５",
	} {
		all = append(all, size+"\r\nhello\r\n0\r\n\r\n")
	}
	return append(all,
		"5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0", "5\r\nhello\r\n", "5\r\nhello", "5\r\nhel", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\nhello\r\n0\r\n\r\n", "5\nhello\n0\n\n", "5\r\nhello\r0\r\n\r\n", "5\r\nhelloX0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "5\r\nhello\r\n\r\n0\r\n\r\n", "5\r\nhello \r\n0\r\n\r\n", "5\rhello\r\n0\r\n\r\n",
		"5\n\rhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\n\n", "5\r\nhello\r\n0\r\n\n", "5\r\nhello\r\n0\n\r\n", "5\r\nhello\r\n0\r\r\n", "5\r\nhello\r\n00\r\n\r\n", "5\r\nhello\r\n0000000000000000000\r\n\r\n", "5\r\nhello\r\n0;a=b\r\n\r\n", "5\r\nhello\r\n0 \r\n\r\n", "5\r\nhello\r\n-0\r\n\r\n", "5\r\nhello\r\n0x0\r\n\r\n", "5\r\nhello\r\n\r\n\r\n",
		"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n", "1\r\nh\r\n1\r\ne\r\n1\r\nl\r\n1\r\nl\r\n1\r\no\r\n0\r\n\r\n", "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "0\r\n\r\n", "000\r\n\r\n", "0\r\nX-A: b\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\nX-B: c\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"5\r\nhello\r\n0\r\nHost: evil.example\r\n\r\n", "5\r\nhello\r\n0\r\nX-User: admin\r\n\r\n", "5\r\nhello\r\n0\r\nX_User: admin\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: b\nX-B: c\r\n\r\n", "5\r\nhello\r\n0\r\nX-A : b\r\n\r\n", "5\r\nhello\r\n0\r\nX-A\r\n\r\n", "5\r\nhello\r\n0\r\n: b\r\n\r\n",
		"5\r\nhello\r\n0\r\n X-A: b\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: \x00\r\n\r\n", "5\r\nhello\r\n0\r\nGET /admin HTTP/1.1\r\n\r\n", "5\r\nhello\r\n0\r\n"+strings.Repeat("X-A: b\r\n", 200)+"\r\n", "5\r\nhello\r\n0\r\nX-A: "+strings.Repeat("x", 3000)+"\r\n\r\n", "5\r\nhello\r\n0\r\nX-A: b\r\n\n", "5\r\nhello\r\n0\r\nX-A: b\r\n",
	)
}

var behinds = []string{
	"\r\n" + smuggled, "\n" + smuggled, "\r\n\r\n" + smuggled, " " + smuggled, "x" + smuggled, "\x00" + smuggled, "0\r\n\r\n" + smuggled, "\r\n0\r\n\r\n" + smuggled, smuggled + smuggled, "G", "GET", "GET /public/y HTTP/1.1\r\nHost: {host}\r\n", "GET /public/y HTTP/1.1\r\nX-A: ",
	"POST /public/y HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\nhalf", "GET /public/y HTTP/1.0\r\n\r\n", "GET /public/y HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01\x02\x00", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
}
