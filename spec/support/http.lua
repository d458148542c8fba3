-- HTTP requests to a server on this machine, as many at once as are wanted.
--
--   local answer = http.get(port, "/path")          -- { status =, headers =, body =, seconds = }
--   local answer = http.post(port, "/path", body, headers)
--   local request = http.begin(port, { method =, path =, headers =, body =, seconds = })
--   request:abort()  request:wait()                 -- the answer, or nil and why there is none
--   request:so_far()                                -- the bytes that came until now
--   http.all { request, … }                         -- the answers, once all are there
local process = require "process"
local uv = require "luv"

local http = {}
http.__index = http

local function dechunked(text)
    local pieces, at = {}, 1
    while true do
        local size, after = text:match("^(%x+)[^\r\n]*\r\n()", at)
        size = size and tonumber(size, 16)
        if not size or after + size > #text + 1 then
            return nil, "a chunk is missing"
        elseif size == 0 then
            return table.concat(pieces)
        end
        pieces[#pieces + 1] = text:sub(after, after + size - 1)
        at = after + size + 2
    end
end

-- The answer in what came until the connection was closed.
local function parse(text)
    local status, at = text:match "^HTTP/1%.[01] (%d%d%d)[^\r\n]*\r\n()"
    if not status then
        return nil, "no answer"
    end
    local headers = {}
    while text:sub(at, at + 1) ~= "\r\n" do
        local name, value, after = text:match("^([^:\r\n]+): *([^\r\n]*)\r\n()", at)
        if not name then
            return nil, "the head is cut"
        end
        name = name:lower()
        headers[name] = headers[name] and headers[name] .. ", " .. value or value
        at = after
    end
    local body, why = text:sub(at + 2), nil
    if headers["transfer-encoding"] == "chunked" then
        body, why = dechunked(body)
    elseif headers["content-length"] and tonumber(headers["content-length"]) ~= #body then
        body, why = nil, "the body is cut"
    end
    if not body then
        return nil, why
    end
    return { status = tonumber(status), headers = headers, body = body }
end

local function finish(self, answer, why)
    if self.finished then
        return
    end
    self.finished, self.answer, self.why = true, answer, why
    if answer then
        answer.seconds = process.now() - self.began
    end
    self.socket:close()
    self.timer:close()
end

-- Send it; the answer is waited for at most `seconds` (30).
function http.begin(port, request)
    local self = setmetatable({
        socket = uv.new_tcp(), timer = uv.new_timer(), began = process.now(), received = {},
    }, http)
    local body = request.body or ""
    local lines = {
        ("%s %s HTTP/1.1"):format(request.method or "GET", request.path),
        "Host: 127.0.0.1:" .. port, "Connection: close",
    }
    if request.body then
        lines[#lines + 1] = "Content-Length: " .. #body
    end
    for name, value in pairs(request.headers or {}) do
        lines[#lines + 1] = name .. ": " .. value
    end
    local text = table.concat(lines, "\r\n") .. "\r\n\r\n" .. body
    self.timer:start(math.floor((request.seconds or 30) * 1000 * process.slowness), 0, function()
        finish(self, nil, "no answer in time")
    end)
    self.socket:connect("127.0.0.1", port, function(failed)
        if self.finished then
            return
        elseif failed then
            return finish(self, nil, failed)
        end
        self.socket:write(text)
        self.socket:read_start(function(err, data)
            if data then
                self.received[#self.received + 1] = data
            elseif err then
                finish(self, nil, err)
            else
                finish(self, parse(table.concat(self.received)))
            end
        end)
    end)
    -- So that it is under way even if nobody waits for it yet.
    for _ = 1, 3 do
        uv.run "nowait"
    end
    return self
end

-- Leave without the answer.
function http:abort()
    finish(self, nil, "aborted")
    uv.run "nowait"
end

function http:wait()
    while not self.finished do
        uv.run "once"
    end
    return self.answer, self.why
end

-- What has come so far.
function http:so_far()
    uv.run "nowait"
    return table.concat(self.received)
end

function http.all(requests)
    local answers = {}
    for i, request in ipairs(requests) do
        answers[i] = assert(request:wait())
    end
    return answers
end

function http.get(port, path, headers)
    return assert(http.begin(port, { path = path, headers = headers }):wait())
end

function http.post(port, path, body, headers)
    return assert(http.begin(port, {
        method = "POST", path = path, body = body, headers = headers,
    }):wait())
end

return http
