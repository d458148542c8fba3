-- What bench/gateway.py measures, in a worker of nginx: calls of resty.zenlayer, and beside them
-- the least that cosockets can do: the same bytes, made beforehand, sent on kept connections, the
-- whole answer read, and its JSON decoded.
local cjson = require "cjson"
local core = require "zenlayer.core"
local zenlayer = require "resty.zenlayer"

local NAME = "localhost"
local IDLE_MS = 50000

local gateway = {}

local function options_for(scheme, port, concurrency)
    return {
        endpoint = ("%s://%s:%d"):format(scheme, NAME, port), connect_to = "127.0.0.1:" .. port,
        access_key_id = "BENCHKEY", access_key_password = "bench-password",
        max_concurrency = concurrency,
    }
end

local function ids_of(count)
    local ids = {}
    for i = 1, count do
        ids[i] = ("ins-%016d"):format(i)
    end
    return ids
end

-- The bytes of a request as the driver sends them.
local function request_bytes(options, ids)
    local op = assert(core.new(options)):prepare_stop_instances(ids)
    local kind, _, request = op:step()
    assert(kind == "send")
    local lines = { "POST " .. request.url:match "^%a+://[^/]+(/.*)$" .. " HTTP/1.1" }
    for name, value in pairs(request.headers) do
        lines[#lines + 1] = name .. ": " .. value
    end
    lines[#lines + 1] = "Accept: application/json"
    lines[#lines + 1] = "Content-Length: " .. #request.body
    return table.concat(lines, "\r\n") .. "\r\n\r\n" .. request.body
end

local function exchange(scheme, port, bytes, pool_size)
    local sock = ngx.socket.tcp()
    sock:settimeout(30000)
    assert(sock:connect("127.0.0.1", port))
    if scheme == "https" and sock:getreusedtimes() == 0 then
        assert(sock:sslhandshake(nil, NAME, true))
    end
    assert(sock:send(bytes))
    local text = ""
    local head_end, length
    repeat
        text = text .. assert(sock:receiveany(65536))
        head_end = select(2, text:find("\r\n\r\n", 1, true))
        length = head_end and head_end + tonumber(text:match "\r\nContent%-Length: (%d+)\r\n")
    until length and #text >= length
    sock:setkeepalive(IDLE_MS, pool_size)
    assert(text:find("HTTP/1.1 200 ", 1, true) == 1)
    return assert(cjson.decode(text:sub(head_end + 1)).requestId)
end

-- A function that makes one call: HOW is "driver" or "bare".
local function caller(how, scheme, port, count, concurrency)
    local ids, options = ids_of(count), options_for(scheme, port, concurrency)
    if how == "driver" then
        local client = assert(zenlayer.new(options))
        return function()
            local request_ids, err = client:stop_instances(ids)
            assert(request_ids and #request_ids == 1, tostring(err))
        end
    end
    local bytes = request_bytes(options, ids)
    return function()
        exchange(scheme, port, bytes, concurrency)
    end
end

local callers = {}

local function cached_caller(...)
    local key = table.concat({ ... }, " ")
    callers[key] = callers[key] or caller(...)
    return callers[key]
end

-- Nanoseconds that this process was on a processor.
local function processor_ns()
    local file = assert(io.open "/proc/self/schedstat")
    local ns = tonumber(file:read "*n")
    file:close()
    return ns
end

-- So many calls, so many at a time: prints the seconds and the processor's seconds.
function gateway.run()
    local given = ngx.req.get_uri_args()
    local concurrency, left = tonumber(given.concurrency), tonumber(given.calls)
    local call = cached_caller(given.how, given.scheme or "https", given.port,
        tonumber(given.ids), concurrency)
    local function work()
        while left > 0 do
            left = left - 1
            call()
        end
    end
    local threads = {}
    ngx.update_time()
    local began, processor = ngx.now(), processor_ns()
    for i = 1, concurrency do
        threads[i] = ngx.thread.spawn(work)
    end
    for i = 1, concurrency do
        assert(ngx.thread.wait(threads[i]))
    end
    ngx.update_time()
    ngx.say(ngx.now() - began, " ", (processor_ns() - processor) / 1e9)
end

-- The same, so far: how much a worker did between two requests for this.
function gateway.processor()
    ngx.say(processor_ns() / 1e9)
end

-- One call for one request, as of a gateway.
function gateway.stop()
    local given = ngx.req.get_uri_args()
    cached_caller(given.how, "https", given.port, 1, 100)()
    ngx.say "stopped"
end

return gateway
