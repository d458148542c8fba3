-- Reading HTTP/1.1 answers, strictly and within bounds. No socket is touched here: bytes come from
-- a function.
local parse = require "zenlayer.core".parse_http_head

local concat = table.concat
local find, match, sub = string.find, string.match, string.sub

local http = {}

local HEAD_MAX = 64 * 1024 -- bytes of all heads of an answer, and of a chunked body's lines

-- What has come and was not used yet.
local function reader(receive, from)
    return { receive = receive, from = from, bytes = "", lines = 0 }
end

-- What goes wrong is told as nil, code, message; the codes are the core's.
local function fill(r)
    local more, err = r.receive(r.from)
    if not more then
        if err == "timeout" then
            return nil, "TIMEOUT", "no complete answer in time"
        end
        return nil, "CONNECTION_LOST", "the connection broke: " .. tostring(err)
    end
    r.bytes = r.bytes == "" and more or r.bytes .. more
    return true
end

local function bad(message)
    return nil, "BAD_RESPONSE", message
end

-- Where the next `mark`, which is of `len` bytes, ends. What is up to there counts as head.
local function find_end(r, mark, len)
    local from = 1
    while true do
        local at = find(r.bytes, mark, from, true)
        local last = at and at + len - 1
        if r.lines + (last or #r.bytes) > HEAD_MAX then
            return nil, "RESPONSE_TOO_LARGE", "a head over 64 KiB"
        end
        if last then
            r.lines = r.lines + last
            return last
        end
        from = math.max(1, #r.bytes - len + 2)
        local ok, code, message = fill(r)
        if not ok then
            return nil, code, message
        end
    end
end

-- The next line, with its end.
local function take_line(r)
    local last, code, message = find_end(r, "\r\n", 2)
    if not last then
        return nil, code, message
    end
    local line = sub(r.bytes, 1, last)
    r.bytes = sub(r.bytes, last + 1)
    return line
end

-- → { status =, head = its lines, length =, chunked =, close =, … }
local function read_head(r)
    local last, code, message = find_end(r, "\r\n\r\n", 4)
    if not last then
        return nil, code, message
    end
    local status, head, chunked, close, length = parse(r.bytes, last)
    if not status then
        return bad(head)
    end
    r.bytes = sub(r.bytes, last + 1)
    return {
        status = status, head = head, chunked = chunked, close = close, length = length,
        body = nil, reusable = nil,
    }
end

local function too_large()
    return nil, "RESPONSE_TOO_LARGE", "a body over max_response_bytes"
end

local function read_length(r, length, most)
    if length > most then
        return too_large()
    elseif #r.bytes == length then -- most answers come in one piece
        local all = r.bytes
        r.bytes = ""
        return all
    end
    local parts, count = { r.bytes }, #r.bytes
    while count < length do
        r.bytes = ""
        local ok, code, message = fill(r)
        if not ok then
            return nil, code, message
        end
        parts[#parts + 1] = r.bytes
        count = count + #r.bytes
    end
    local all = #parts == 1 and parts[1] or concat(parts)
    r.bytes = sub(all, length + 1)
    return sub(all, 1, length)
end

local function read_chunked(r, most)
    local parts, total = {}, 0
    while true do
        local line, code, message = take_line(r)
        if not line then
            return nil, code, message
        end
        local digits = match(line, "^(%x+)[ \t]*\r\n$") or match(line, "^(%x+)[ \t]*;[^\r\n]*\r\n$")
        if not digits or #digits > 12 then
            return bad "a bad chunk"
        end
        local size = tonumber(digits, 16)
        total = total + size
        if total > most then
            return too_large()
        end
        if size == 0 then
            break
        end
        local data
        data, code, message = read_length(r, size + 2, size + 2)
        if not data then
            return nil, code, message
        end
        if sub(data, -2) ~= "\r\n" then
            return bad "a bad chunk"
        end
        parts[#parts + 1] = sub(data, 1, -3)
    end
    repeat -- trailers say nothing that matters here
        local line, code, message = take_line(r)
        if not line then
            return nil, code, message
        end
    until line == "\r\n"
    return concat(parts)
end

local function read_to_end(r, most)
    while #r.bytes <= most do
        local ok, code, message = fill(r)
        if not ok then
            if code ~= "CONNECTION_LOST" then
                return nil, code, message
            end
            local body = r.bytes
            r.bytes = ""
            return body
        end
    end
    return too_large()
end

local function read_body(r, answer, most)
    if answer.status == 204 or answer.status == 304 then
        return ""
    elseif answer.chunked then
        return read_chunked(r, most)
    elseif answer.length then
        return read_length(r, answer.length, most)
    end
    answer.close = true
    return read_to_end(r, most)
end

-- Read one answer. receive(from) → bytes, or nil, "closed" | "timeout" | what else. Returns
-- { status =, head = its header lines, body =, reusable = (another request may follow on this
-- connection) }, or nil, code, message. A body is at most `most` bytes.
function http.read(receive, most, from)
    local r = reader(receive, from)
    local answer, code, message
    repeat
        answer, code, message = read_head(r)
        if not answer then
            return nil, code, message
        end
        if answer.status == 101 then
            return bad "a change of protocol that nobody asked for"
        end
    until answer.status >= 200
    answer.body, code, message = read_body(r, answer, most)
    if not answer.body then
        return nil, code, message
    end
    answer.reusable = not answer.close and r.bytes == ""
    return answer
end

-- Read a proxy's answer to CONNECT. Returns its status, or nil, code, message. After a 2xx nothing
-- may have come that belongs to the tunnel: the server does not speak first.
function http.read_tunnel(receive, from)
    local r = reader(receive, from)
    local answer, code, message = read_head(r)
    if not answer then
        return nil, code, message
    end
    if answer.status >= 200 and answer.status < 300 and r.bytes ~= "" then
        return bad "bytes after the proxy's answer"
    end
    return answer.status
end

return http
