-- Connections that are spoiled at a byte (wire.py): many calls at once, each over a connection of
-- its own, and what must hold of each of them.
--
--   local proxy = wire.start(box)            -- before a sandbox; or before what is before that:
--   local proxy = wire.start(box, front)     -- { endpoint =, ca_file =, port = }
--   local tries, outcomes = proxy:spoil(run, "fin", 7)     -- every seventh byte; all is checked
--
-- `run` says who makes the calls: wire.here, or wire.within(front) of remote.lua. A try is
--
--   { way = "up" | "down", at =, how = "fin" | "reset" | "stall" | "flip" | nil, mask =, whole =,
--     (see wire.py) reused = whether its connection has carried another call before,
--     call = "stop" | "echo", with = options of that call }
--
-- and then has `told`, what came of it, and `requests`, what the sandbox got.
local cjson = require "cjson"
local lfs = require "lfs"
local process = require "process"
local safe = require "zenlayer.safe"

local wire = {}
wire.__index = wire

local LANES = 16
local ROUND = 25 -- tries of a lane at a time
local SECONDS = 10 * process.slowness -- every call is over by then, however it is spoiled
local TEXT = process.read "spec/support/wire_tries.lua"

wire.SECONDS = SECONDS

function wire.start(box, front)
    front = front or box
    local self = setmetatable({
        box = box, front = front, directory = process.temporary_directory(), made = 0,
        is_plain = front.endpoint:find "^http:" ~= nil,
    }, wire)
    self.server = process.start(
        { "python3", "-B", "spec/support/wire.py", self.directory, front.port, LANES },
        self.directory .. "/ready.json", self.directory .. "/messages")
    self.ports = self.server.ready.ports
    self.control = assert(safe.new(self:options("http", self.server.ready.control)))
    -- The last call of each try, so that its connection is not the next one's.
    box:faults { { fault = "connection_close", service = "zec" } }
    return self
end

function wire:stop()
    self.control:close()
    process.stop(self.server)
    process.remove(self.directory)
end

--- carrying tries out ----------------------------------------------------------------------------

-- In this process: each piece is a coroutine.
function wire.here(pieces)
    local results, threads, left = {}, {}, #pieces
    for i, given in ipairs(pieces) do
        local environment = setmetatable({ zenlayer = safe }, { __index = _G })
        local text = assert(load(TEXT, "=wire_tries.lua", "t", environment))
        threads[i] = coroutine.create(function()
            results[i] = text(given)
            left = left - 1
        end)
    end
    while left > 0 do
        for i, thread in ipairs(threads) do
            if not results[i] then
                assert(coroutine.resume(thread))
            end
        end
        process.sleep(0.0005)
    end
    return results
end

-- In the nginx of remote.lua: each piece is a request.
function wire.within(front)
    return function(pieces)
        local client, under_way, results = front:client(), {}, {}
        for i, given in ipairs(pieces) do
            given.options.ca_file = nil -- nginx.conf says that
            under_way[i] = client:begin(TEXT, given)
        end
        for i, each in ipairs(under_way) do
            results[i] = each:result()
        end
        return results
    end
end

-- Options of a client for a port of ours.
function wire:options(scheme, port, options)
    local all = {
        endpoint = ("%s://127.0.0.1:%d"):format(scheme, port), proxy = scheme == "https" and false
            or nil, ca_file = scheme == "https" and self.front.ca_file or nil,
        access_key_id = self.box.KEY_ID, access_key_password = self.box.PASSWORD,
    }
    for name, value in pairs(options or {}) do
        all[name] = value
    end
    return all
end

function wire:lane_options(lane)
    return self:options(self.is_plain and "http" or "https", self.ports[lane],
        { max_attempts = 1, timeout = SECONDS })
end

-- A client in this process for a lane; and an action of wire.py's control for that.
function wire:new_client(lane)
    return assert(safe.new(self:lane_options(lane)))
end

function wire:tell(action, lane, params)
    params = params or {}
    params.lane = lane
    return assert(self.control:call(action, params))
end

function wire:new_piece(lane)
    return {
        lane = lane, tries = {}, options = self:lane_options(lane),
        control = self:options("http", self.server.ready.control),
    }
end

-- One round: as many as fit.
function wire:carry_out_some(tries, run)
    local pieces, owners = {}, {}
    for i, try in ipairs(tries) do
        local lane = (i - 1) % LANES + 1
        self.made = self.made + 1
        try.id = ("id-%08d"):format(self.made)
        try.call = try.call or self.made % 2 == 0 and "stop" or "echo"
        pieces[lane] = pieces[lane] or self:new_piece(lane)
        owners[lane] = owners[lane] or {}
        table.insert(owners[lane], try)
        table.insert(pieces[lane].tries, {
            way = try.way, at = try.at, how = try.how, mask = try.mask, reused = try.reused,
            whole = try.whole, call = try.call, with = try.with, id = try.id,
        })
    end
    for lane, results in ipairs(run(pieces)) do
        for i, told in ipairs(results) do
            owners[lane][i].told = told
        end
    end
end

-- The sandbox's journal, once it is through with all that came. What was turned over need be no
-- text: cjson wants none of that.
local function read_journal(box)
    local text = process.await(function()
        local found = process.read(box.journal_file):sub(box.from + 1)
        local _, opened = found:gsub('"event": "connection_opened"', "")
        local _, closed = found:gsub('"event": "connection_closed"', "")
        return opened <= closed and found
    end, "the end of every connection", 20)
    local lines = {}
    for line in text:gmatch "([^\n]*)\n" do
        lines[#lines + 1] = cjson.decode((line:gsub("\\ud[89a-f]%x%x", "?")))
    end
    return lines
end

-- The id of a try that a request names.
local function id_of(request)
    local params = type(request.params) == "table" and request.params or {}
    local ids = params.instanceIds
    return params.name or type(ids) == "table" and ids[1]
end

-- What the sandbox got for each id.
function wire:read_requests()
    local by_id = {}
    for _, line in ipairs(read_journal(self.box)) do
        local id = line.seq and line.action ~= "DescribeInstancesStatus" and id_of(line)
        if id then
            by_id[id] = by_id[id] or {}
            table.insert(by_id[id], line)
        end
    end
    return by_id
end

function wire:carry_out(tries, run)
    self.box:mark()
    for first = 1, #tries, LANES * ROUND do
        local some = {}
        table.move(tries, first, math.min(#tries, first + LANES * ROUND - 1), 1, some)
        self:carry_out_some(some, run)
    end
    local by_id = self:read_requests()
    for _, try in ipairs(tries) do
        try.requests = by_id[try.id] or {}
    end
end

-- Where each exchange lies in what its connection carries: sizes[call][reused][way], { from, to }:
-- the bytes before it, and those with it.
function wire:measure(run)
    local tries, sizes = {}, {}
    for i = 1, LANES do -- all of them, so that whoever counts files after it finds what is kept
        tries[i] = { call = i % 2 == 0 and "stop" or "echo", reused = i % 4 > 1 }
    end
    self:carry_out(tries, run)
    for _, try in ipairs(tries) do
        local told = try.told
        assert(told.outcome == "accepted" and told.after, told.message or told.problem)
        assert(#told.connections == 1, "a connection was not kept")
        sizes[try.call] = sizes[try.call] or {}
        sizes[try.call][try.reused] = {
            up = { told.before and told.before.up or 0, told.behind.up },
            down = { told.before and told.before.down or 0, told.behind.down },
        }
    end
    return sizes
end

-- Tries at every step-th byte of each exchange, in both ways, and where it begins or ends; each has
-- what `more` has. With `calls` there are both kinds of them at each byte, else one or the other.
-- Under TLS no two connections are of the same length: there it is never known where one ends.
function wire:at_bytes(sizes, step, how, more, calls)
    local tries, count = {}, 0
    local margin = self.is_plain and 0 or 24
    local function add(call, reused, way, from, to)
        count = count + 1 -- other bytes of each
        for at = from, to do
            local is_edge = self.is_plain and (at - from < 2 or to - at < 2)
            local is_mine = calls or is_edge or math.floor(at / step) % 2 == count % 2
            -- Nobody can tell of a connection that rests that it has died.
            local is_told = at < to or how ~= "flip" and not (how == "stall" and way == "down")
            if (is_edge or (at + count) % step == 0) and is_mine and is_told then
                local try = {
                    way = way, at = at, how = how, reused = reused, call = call,
                    whole = self.is_plain and at == to,
                    mask = how == "flip" and 2 ^ (at % 8) or nil,
                }
                for name, value in pairs(more or {}) do
                    try[name] = value
                end
                tries[#tries + 1] = try
            end
        end
    end
    for _, way in ipairs { "up", "down" } do
        for _, reused in ipairs { false, true } do
            for _, call in ipairs { "stop", "echo" } do
                local from, to = table.unpack(sizes[call][reused][way])
                add(call, reused, way, from + (reused and margin or 0), to - margin)
            end
        end
    end
    return tries
end

--- what must hold --------------------------------------------------------------------------------

local KINDS = {
    CONNECTION_LOST = "network", CONNECT_FAILED = "network", TLS_FAILED = "network",
    TLS_VERIFY_FAILED = "network", CONNECT_TIMEOUT = "timeout", TIMEOUT = "timeout",
    DEADLINE_EXCEEDED = "timeout", BAD_RESPONSE = "protocol", UNEXPECTED_STATUS = "protocol",
    RESPONSE_TOO_LARGE = "protocol", SECURITY_CHALLENGE = "blocked", REQUEST_BLOCKED = "blocked",
}

local function must(held, message, ...)
    if not held then
        error(message:format(...), 0)
    end
end

-- Whether they differ in one byte at most.
local function are_alike(a, b)
    local others = #a == #b and 0 or 2
    for i = 1, #a do
        others = others + (a:byte(i) ~= b:byte(i) and 1 or 0)
    end
    return others <= 1
end

-- Whether the bytes that say what became of it were turned over, and nothing tells that.
local function is_forged(self, try, sizes)
    local from = sizes[try.call][not not try.reused].down[1]
    return self.is_plain and try.how == "flip" and try.way == "down" and try.at - from < 13
end

local function check_accepted(try, acted)
    local told, known = try.told, try.told.confirmed_by == "status"
    must(acted >= 1, "accepted, and not done")
    for _, request in ipairs(try.requests) do
        local is_flipped = try.how == "flip" and try.way == "down"
        known = known or told.request_id == request.request_id
            or is_flipped and are_alike(told.request_id, request.request_id)
    end
    must(known, "accepted as %s, which the server did not say", told.request_id)
end

-- What holds of every call, however it was spoiled: `sent`, whether bytes of it left.
local function check_account(self, try, sizes, sent)
    local told, acted = try.told, 0
    for _, request in ipairs(try.requests) do
        acted = acted + (request.acted and 1 or 0)
    end
    must(told.outcome == "accepted" or told.is_error, "no error: %s", told.message)
    -- A server that takes the end of a request for the beginning of the next refuses that one; and
    -- what spoils a connection behind a whole answer is the next call's.
    local may_fail = try.how == "flip" and try.way == "up"
        or told.outcome == "accepted" and (try.whole or not self.is_plain)
    must(told.after or told.problem and may_fail,
        "the next call: %s", told.problem or "an answer that is not its own")
    must(told.seconds < SECONDS, "it took %.1f s", told.seconds)
    must(#try.requests <= told.attempts, "%d requests in %d attempts", #try.requests,
        told.attempts)
    if told.outcome == "accepted" then
        return check_accepted(try, acted)
    end
    must(told.kind == (KINDS[told.code] or "api"), "kind %s: %s", told.kind, told.message)
    if told.outcome == "not_sent" then
        must(#try.requests == 0 and not sent, "not sent, and something came: %s", told.message)
    elseif told.outcome == "rejected" then
        must(acted == 0 or is_forged(self, try, sizes), "rejected, and done: %s", told.message)
    else
        must(told.outcome == "unknown", "outcome %s", told.outcome)
        must(told.connections[1].spoiled, "unknown, and nothing was wrong: %s", told.message)
    end
end

-- Of a connection without TLS that was cut it is known exactly.
local function check_cut(try, sent)
    local told = try.told
    must(told.connections[1].spoiled, "it was not cut")
    if try.call == "stop" and try.with and try.with.max_attempts and told.attempts > 1 then
        return must(told.outcome == "accepted", "after %d attempts: %s", told.attempts,
            told.message)
    end
    must(told.attempts == 1, "%d attempts", told.attempts)
    local acted = try.requests[1] and try.requests[1].acted
    must(not acted == not (try.way == "down" or try.whole), "done, or not, and should not be")
    if try.way == "down" and try.whole then
        -- RST may overtake what went before it.
        return must(told.outcome == "accepted" or try.how == "reset", "whole, and %s", told.message)
    end
    local code = try.how ~= "stall" and "CONNECTION_LOST"
        or try.with.deadline and "DEADLINE_EXCEEDED" or "TIMEOUT"
    must(told.outcome == "unknown" and told.code == code, "not %s: %s", code, told.message)
    must(sent, "nothing was sent")
end

local function check_try(self, try, sizes)
    local told, from = try.told, sizes[try.call][not not try.reused].up[1]
    if told.is_missed then
        return
    end
    local sent = self.is_plain and told.connections[1].up > from
    check_account(self, try, sizes, sent)
    if self.is_plain and try.how ~= "flip" then
        check_cut(try, sent)
    end
end

-- All of the tries, which were carried out. Returns how many there were of each outcome.
function wire:check(tries, sizes)
    local failures, outcomes = {}, { missed = 0 }
    for _, try in ipairs(tries) do
        local outcome = try.told.is_missed and "missed" or try.told.outcome
        outcomes[outcome] = (outcomes[outcome] or 0) + 1
        local ok, message = pcall(check_try, self, try, sizes)
        if not ok then
            local size = sizes[try.call][not not try.reused][try.way]
            failures[#failures + 1] = ("%s, %s connection, %s at byte %d of %s (%d to %d): %s")
                :format(try.call, try.reused and "reused" or "fresh", try.how, try.at, try.way,
                    size[1], size[2], message)
        end
    end
    if #failures > 0 then
        error(("%d of %d; %s"):format(#failures, #tries,
            table.concat(failures, "\n", 1, math.min(5, #failures))), 2)
    end
    assert(outcomes.missed * 5 <= #tries, "too many were missed")
    return outcomes
end

-- How far one try is from the next: every byte, both calls and all the shapes a byte may take with
-- ZENLAYER_TEST_LONG (make wire); else `step`, or on all Luas but the first `fewer`.
wire.is_long = os.getenv "ZENLAYER_TEST_LONG" ~= nil

function wire.step(step, fewer)
    return wire.is_long and 1 or process.rounds(step, fewer or step)
end

-- How many files a process has open.
function wire.count_files(pid)
    local count = 0
    for _ in lfs.dir(("/proc/%s/fd"):format(pid or "self")) do
        count = count + 1
    end
    return count
end

-- Whether its time was over though nothing was wrong, as where a busy machine let it wait.
local function came_too_late(try)
    local told = try.told
    return told.kind == "timeout" and not told.is_missed and not told.connections[1].spoiled
end

-- Those that came too late, again, with ten times as long.
function wire:carry_out_late(tries, run)
    local late = {}
    for _, try in ipairs(tries) do
        if came_too_late(try) then
            local with = {}
            for name, value in pairs(try.with or {}) do
                with[name] = (name == "timeout" or name == "deadline") and value * 10 or value
            end
            try.with, late[#late + 1] = with, try
        end
    end
    if late[1] then
        self:carry_out(late, run)
    end
end

-- Carry out tries at every step-th byte, and check them; and that who made the calls (the process
-- `pid`, or this one) has as many files open afterwards as before. Returns the tries, and how many
-- there were of each outcome.
function wire:spoil(run, how, step, more, pid)
    self.sizes = self.sizes or self:measure(run)
    local before = wire.count_files(pid)
    local tries = self:at_bytes(self.sizes, step, how, more, wire.is_long)
    self:carry_out(tries, run)
    self:carry_out_late(tries, run)
    local outcomes = self:check(tries, self.sizes)
    process.await(function()
        return wire.count_files(pid) <= before
    end, "files to be closed")
    return tries, outcomes
end

return wire
