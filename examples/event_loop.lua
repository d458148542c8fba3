#!/usr/bin/env lua5.4
-- Stop instances from inside an event loop, which goes on with everything else meanwhile.
--
--   event_loop.lua [--endpoint URL] [--ca-file PATH] id ...
--
-- The key pair comes from ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET, or a token from
-- ZENLAYER_TOKEN. The loop is luv's (Debian: lua-luv), which is libuv's.

local uv = require "luv"
local zenlayer = require "zenlayer"

local TICK_MS = 5

-- Let the loop run a client's jobs: call what comes back when some were submitted. `finished` is
-- called when all are done.
local function attach(client, finished)
    local watchers = {} -- by descriptor
    local timer = uv.new_timer()
    local move_on

    -- Every poll may open and close sockets, and a new one may have the number of an old one. That
    -- is why all watchers start anew each time: libuv then registers them afresh.
    local function watch()
        local wanted = {}
        for _, socket in ipairs(client:sockets()) do
            local fd, events = socket[1], socket[2]
            wanted[fd] = true
            watchers[fd] = watchers[fd] or uv.new_poll(fd)
            watchers[fd]:start(events, move_on)
        end
        for fd, watcher in pairs(watchers) do
            if not wanted[fd] then
                watcher:close()
                watchers[fd] = nil
            end
        end
    end

    function move_on()
        local left = client:poll(0)
        watch()
        local seconds = left > 0 and client:next_timeout()
        if seconds then
            timer:start(math.ceil(seconds * 1000), 0, move_on)
        else
            timer:stop()
        end
        if left == 0 then
            finished()
        end
    end

    return move_on
end

local USAGE = "usage: event_loop.lua [--endpoint URL] [--ca-file PATH] id ...\n"

local function parse(args)
    local options, names = {}, { ["--endpoint"] = "endpoint", ["--ca-file"] = "ca_file" }
    local i = 1
    while names[args[i]] do
        options[names[args[i]]] = args[i + 1]
        i = i + 2
    end
    local ids = {}
    while i <= #args do
        ids[#ids + 1], i = args[i], i + 1
    end
    if #ids == 0 or ids[1]:sub(1, 1) == "-" then
        io.stderr:write(USAGE)
        os.exit(2)
    end
    return options, ids
end

local options, ids = parse(arg)
local client = zenlayer.new(options)
client:connect() -- before the loop begins: reading the certificates takes a while

-- What else the loop is for: a timer, whose longest pause tells how long anything held it up.
local ticks, longest_ms, last_ns = 0, 0, uv.hrtime()
local ticker = uv.new_timer()
ticker:start(TICK_MS, TICK_MS, function()
    local now_ns = uv.hrtime()
    ticks = ticks + 1
    longest_ms = math.max(longest_ms, (now_ns - last_ns) / 1e6)
    last_ns = now_ns
end)

local job = client:submit_stop_instances(ids, { force_shutdown = false })
local began_ns = uv.hrtime()
local move_on = attach(client, uv.stop)
move_on()
uv.run()

longest_ms = math.max(longest_ms, (uv.hrtime() - last_ns) / 1e6)
local took_ms = (uv.hrtime() - began_ns) / 1e6
local request_ids = job:result()
client:close()
print(("stopped        %8d  instances"):format(#ids))
print(("requests       %8d"):format(#request_ids))
print(("took           %8.1f  ms"):format(took_ms))
print(("ticks          %8d  of %d ms"):format(ticks, TICK_MS))
print(("longest pause  %8.1f  ms"):format(longest_ms))
