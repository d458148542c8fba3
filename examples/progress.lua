#!/usr/bin/env lua5.4
-- Shut instances down, wait until all are STOPPED, and show how far that is.
--
--   progress.lua id ...
--
-- On a terminal a bar is redrawn in place; elsewhere, in a log, there is a line when something has
-- changed. The key pair comes from ZENLAYER_ACCESS_KEY_ID and ZENLAYER_ACCESS_KEY_SECRET;
-- ZENLAYER_ENDPOINT and ZENLAYER_CA_FILE may name another place than the real API.
-- Exit status: 0 all are STOPPED; 1 they are not, or nobody knows; 2 bad usage.

local zenlayer = require "zenlayer"

local WIDTH = 30

local ids = { ... }
if #ids == 0 then
    io.stderr:write "usage: progress.lua id ...\n"
    os.exit(2)
end

local found = os.execute "test -t 2"
local is_terminal = found == true or found == 0 -- the status itself in Lua 5.1

-- "2 RUNNING, 5 STOPPING"
local function tally(statuses)
    local counts, names = {}, {}
    for _, status in pairs(statuses) do
        if not counts[status] then
            names[#names + 1] = status
        end
        counts[status] = (counts[status] or 0) + 1
    end
    table.sort(names)
    for i, name in ipairs(names) do
        names[i] = counts[name] .. " " .. name
    end
    return table.concat(names, ", ")
end

local began, latest, shown = os.time(), { stopped = 0, pending = #ids, failed = 0 }, ""

local function draw_bar()
    local full = math.floor(latest.stopped * WIDTH
        / (latest.stopped + latest.pending + latest.failed))
    local line = ("[%s%s] %s  %d s"):format(("#"):rep(full), ("."):rep(WIDTH - full),
        latest.statuses and tally(latest.statuses) or "stopping", os.time() - began)
    -- Blanks over the rest of a longer line: a terminal keeps what is not written over.
    io.stderr:write("\r", line, (" "):rep(#shown - #line))
    shown = line
end

local function print_line()
    local line = tally(latest.statuses)
    if line ~= shown then
        io.stderr:write(line, "\n")
        shown = line
    end
end

local function stop(client)
    local job = client:submit_stop_instances(ids, {
        force_shutdown = false, wait = true, on_progress = function(progress)
            latest = progress
            if not is_terminal then
                print_line()
            end
        end,
    })
    repeat
        local left = client:poll(1) -- not longer, so that the bar's clock goes on
        if is_terminal then
            draw_bar()
        end
    until left == 0
    job:result() -- raises, if it failed
end

local ok, err = pcall(function()
    local client = zenlayer.new {
        endpoint = os.getenv "ZENLAYER_ENDPOINT",
        ca_file = os.getenv "ZENLAYER_CA_FILE",
    }
    stop(client)
    client:close()
end)
if is_terminal then
    io.stderr:write "\n"
end
if not ok then
    io.stderr:write("progress: ", tostring(err), "\n")
    os.exit(1, true)
end
