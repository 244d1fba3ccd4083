# Reads an event of a URL, an HTTP API or a REST API (formats 2.0 and 1.0) and writes it as a request:
# `head` gets the request line and the headers, `body` the body as the event has it. Tells the shell what it
# found. Quotation marks separate the records, so that long strings are never searched twice.

BEGIN {
    RS = "\""
    plain["n"] = "\n"; plain["t"] = "\t"; plain["r"] = "\r"; plain["b"] = "\b"; plain["f"] = "\f"
    printf "" >body
    printf "" >head
}

inside {
    # An odd number of backslashes before the mark: it belongs to the string.
    for (n = length($0); n > 0 && substr($0, n, 1) == "\\"; n--) ;
    odd = (length($0) - n) % 2
    piece = unescaped(odd ? substr($0, 1, length($0) - 1) : $0) (odd ? "\"" : "")
    if (is_body) printf "%s", piece >body
    else text = text piece
    if (odd) next
    inside = 0
    if (!is_body) value(text)
    text = ""
    next
}

{
    structure($0)
    inside = 1
    is_body = (depth == 1 && key[1] == "body" && !wants[1])
}

END {
    http = (method != "")
    if (!http) { method = "POST"; target = "/" }
    else if (target == "") target = "/"
    if (query == "") query = single
    if (query != "") target = target "?" query
    printf "%s %s HTTP/1.0\r\n", safe(method), encoded(target) >head
    if (!("host" in headers)) headers["host"] = host
    for (name in headers)
        if (name !~ /^(connection|keep-alive|transfer-encoding|content-length|expect|upgrade|te|cookie)$/)
            printf "%s: %s\r\n", safe(name), safe(headers[name]) >head
    if (cookies == "" && ("cookie" in headers)) cookies = headers["cookie"]
    if (cookies != "") printf "cookie: %s\r\n", safe(cookies) >head
    if (!http && !("content-type" in headers)) printf "content-type: application/json\r\n" >head
    printf "is_http=%d\nis_base64=%d\nis_v2=%d\n", http, base64, (version == "2.0" || !http)
}

# What stands between strings: brackets, commas, and values that are no strings.
function structure(s,    i, c, word) {
    word = ""
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        if (c == "{" || c == "[") { depth++; kind[depth] = c; key[depth] = (c == "[") ? 0 : ""; wants[depth] = (c == "{") }
        else if (c == "}" || c == "]") { literal(word); word = ""; depth-- }
        else if (c == ",") {
            literal(word); word = ""
            if (kind[depth] == "{") wants[depth] = 1
            else key[depth]++
        }
        else if (c == ":") wants[depth] = 0
        else if (c !~ /[ \t\r\n]/) word = word c
    }
    literal(word)
}

function literal(word) {
    if (word == "true" && path() == "isBase64Encoded") base64 = 1
}

function path(    i, p) {
    p = key[1]
    for (i = 2; i <= depth; i++) p = p "/" key[i]
    return p
}

function value(s,    p, name) {
    if (kind[depth] == "{" && wants[depth]) { key[depth] = s; return }
    p = path()
    if (p == "version") version = s
    else if (p == "httpMethod" || p == "requestContext/http/method") method = s
    else if (p == "rawPath") target = s
    else if (p == "path" && target == "") target = s
    else if (p == "rawQueryString") query = s
    else if (p ~ /^cookies\//) cookies = cookies (cookies == "" ? "" : "; ") s
    else if (p ~ /^headers\// && depth == 2) {
        name = tolower(key[2])
        if (!(name in headers)) headers[name] = s
    }
    else if (p ~ /^multiValueHeaders\// && depth == 3) {
        name = tolower(key[2])
        headers[name] = (key[3] ? headers[name] (name == "cookie" ? "; " : ", ") : "") s
    }
    else if (p ~ /^multiValueQueryStringParameters\// && depth == 3)
        query = query (query == "" ? "" : "&") parameter(key[2]) "=" parameter(s)
    else if (p ~ /^queryStringParameters\// && depth == 2 && version != "2.0") {
        # Where both are there, the other has them all.
        single = single (single == "" ? "" : "&") parameter(key[2]) "=" parameter(s)
    }
}

# Backslashes separate the parts, so that each is looked at once.
function unescaped(s,    parts, n, i, out, p, c, code) {
    if (index(s, "\\") == 0) return s
    n = split(s, parts, "\\")
    out = parts[1]
    for (i = 2; i <= n; i++) {
        p = parts[i]
        if (p == "") { out = out "\\" parts[++i]; continue }
        c = substr(p, 1, 1)
        if (c == "u") {
            code = hex(substr(p, 2, 4))
            p = substr(p, 6)
            if (code >= 55296 && code < 56320 && p == "" && substr(parts[i + 1], 1, 1) == "u") {
                p = parts[++i]
                code = 65536 + (code - 55296) * 1024 + (hex(substr(p, 2, 4)) - 56320)
                p = substr(p, 6)
            }
            out = out utf8(code) p
        }
        else out = out ((c in plain) ? plain[c] : c) substr(p, 2)
    }
    return out
}

function hex(s,    i, n) {
    n = 0
    for (i = 1; i <= length(s); i++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, i, 1))) - 1
    return n
}

function utf8(n) {
    if (n == 0) return ""
    if (n < 128) return sprintf("%c", n)
    if (n < 2048) return sprintf("%c%c", 192 + int(n / 64), 128 + n % 64)
    if (n < 65536) return sprintf("%c%c%c", 224 + int(n / 4096), 128 + int(n / 64) % 64, 128 + n % 64)
    return sprintf("%c%c%c%c", 240 + int(n / 262144), 128 + int(n / 4096) % 64, 128 + int(n / 64) % 64, 128 + n % 64)
}

# No part of a request may begin another.
function safe(s) { gsub(/[\001-\037\177]/, " ", s); return s }

function encoded(s,    out, i, c) {
    if (s !~ /[\001-\040\177-\377"<>\\^`{|}]/) return s
    out = ""
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        out = out (c ~ /[\001-\040\177-\377"<>\\^`{|}]/ ? percent(c) : c)
    }
    return out
}

function parameter(s,    out, i, c) {
    out = ""
    for (i = 1; i <= length(s); i++) {
        c = substr(s, i, 1)
        out = out (c ~ /[A-Za-z0-9_.~-]/ ? c : percent(c))
    }
    return out
}

function percent(c,    i) {
    if (!("A" in code_of)) for (i = 1; i < 256; i++) code_of[sprintf("%c", i)] = i
    return sprintf("%%%02X", code_of[c])
}
