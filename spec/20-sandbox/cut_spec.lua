-- Connections cut at every byte of a request and of its answer: the server never acts more often
-- than the client counted attempts, and what the client says of the outcome is true.
local every_lua = require "every_lua"
local cutter = require "cutter"
local process = require "process"

local made = 0

-- Ids of one length that nobody used before.
local function new_id(beginning)
    made = made + 1
    return ("%s%08d"):format(beginning, made)
end

local function stop(beginning)
    return function(client)
        local ids = { new_id(beginning) }
        local request_ids, second = client:stop_instances(ids)
        local batch = (request_ids and second or second.batches)[1]
        return batch.outcome, batch.attempts, not request_ids and second or nil, ids[1]
    end
end

-- The kinds of calls: `send` returns the outcome, the attempts counted, the error if there was one,
-- and the id to act on.
local CALLS = {
    { name = "a stop of one attempt", max_attempts = 1, send = stop "id-" },
    { name = "a stop of two attempts", max_attempts = 2, send = stop "id-" },
    {
        name = "an unsafe call",
        max_attempts = 4,
        send = function(client)
            local response, err = client:call("CreateInstances", { name = new_id "new-" })
            if response then
                return "accepted", 1 -- a success does not tell; more than one is never right
            end
            return err.outcome, err.attempts, err
        end,
    },
}
local STOP_ONCE, STOP_TWICE, UNSAFE = CALLS[1], CALLS[2], CALLS[3]
local REFUSED = { name = "a stop that is refused", max_attempts = 1, send = stop "missing-" }

local function must(held, what)
    if not held then
        error(what, 0)
    end
end

-- What holds of every cut.
local function check_account(outcome, attempts, id, exchanges)
    local begun, acted, lost = 0, 0, 0
    for _, exchange in ipairs(exchanges) do
        if exchange.action ~= "DescribeInstancesStatus" then -- looks at what a lost stop did
            begun = begun + 1
            lost = lost + (exchange.answered and 0 or 1)
            acted = acted + (exchange.acted and 1 or 0)
            if exchange.acted and id then
                must(#exchange.ids == 1 and exchange.ids[1] == id, "it acted on other ids")
            end
        end
    end
    must(acted <= attempts, ("it acted %d times in %d attempts"):format(acted, attempts))
    must(begun <= attempts, ("%d requests in %d attempts"):format(begun, attempts))
    if outcome == "accepted" then
        must(acted >= 1, "accepted, and not done")
    elseif outcome == "unknown" then
        must(lost >= 1, "unknown, and every answer was sent")
    else
        must(outcome == "rejected" or outcome == "not_sent", "outcome " .. tostring(outcome))
        must(acted == 0, outcome .. ", and done")
        must(outcome == "rejected" or begun == 0, "not_sent, and something came")
    end
    return begun, acted
end

-- What must come of an exchange that was cut with an answer that has a length.
local function check_length(call, outcome, attempts, err, begun, acted, whole)
    local wanted = whole and 1 or call == STOP_TWICE and 2 or 1
    must(attempts == wanted, ("%d attempts, not %d"):format(attempts, wanted))
    must(begun == wanted, ("%d requests, not %d"):format(begun, wanted))
    if whole or call == STOP_TWICE then
        must(outcome == "accepted", "it is " .. outcome .. ": " .. tostring(err))
        must(acted == 1, "done " .. acted .. " times")
    else
        must(outcome == "unknown", "it is " .. outcome)
        must(err.kind == "network" and err.code == "CONNECTION_LOST", tostring(err))
    end
end

local NAMES = { notify = "close_notify and FIN", fin = "FIN alone", reset = "RST" }

for scheme, endings in pairs {
    http = { "fin", "reset" },
    https = { "notify", "fin", "reset" },
} do
    describe("over " .. scheme, function()
        local box

        setup(function()
            box = cutter.start(scheme)
        end)
        teardown(function()
            box:stop()
        end)

        -- One call, cut: what the client says, and what the server saw. Without a cut, all is well.
        local function try(call, reused, cut)
            local client = every_lua.closing(box:client { max_attempts = call.max_attempts })
            if reused then
                assert(client:call("Echo"))
            end
            box:arm(cut or {})
            local outcome, attempts, err, id = call.send(client)
            client:close()
            local exchanges = box:seen()
            must(#exchanges > 0, "nothing came")
            -- Or else it was not the case that was meant.
            must(exchanges[1].nth == (reused and 2 or 1), "on another connection")
            return outcome, attempts, err, id, exchanges
        end

        -- The length of a request, or of an answer, and that of its head.
        local function measure(call, where, framing)
            local _, _, _, _, exchanges = try(call, false, {
                where = "answer", at = 1000000, ["end"] = "fin", framing = framing,
            })
            return exchanges[1][where], exchanges[1][where .. "_head"]
        end

        -- Calls check(at) for 0 to last, or for every step-th and those where something ends.
        local function each_byte(last, head, step, check)
            local failures, count, offset = {}, 0, made % step -- others for each kind of cut
            for at = 0, last do
                local is_edge = at < 2 or at > last - 2 or math.abs(at - head) < 2
                if is_edge or at % step == offset then
                    count = count + 1
                    local ok, message = pcall(every_lua.scope, check, at)
                    if not ok then
                        failures[#failures + 1] = ("cut at byte %d of %d: %s"):format(at, last,
                            tostring(message))
                    end
                end
            end
            if #failures > 0 then
                error(("%d of %d cuts; %s"):format(#failures, count,
                    table.concat(failures, "\n", 1, math.min(3, #failures))), 0)
            end
            assert(count >= 6)
        end

        for _, how in ipairs(endings) do
            local ending = NAMES[how]
            for _, where in ipairs { "request", "answer" } do
                for _, reused in ipairs { false, true } do
                    for _, call in ipairs(CALLS) do
                        -- Over TLS, and where backoff takes its time, not every byte.
                        local step = call == STOP_TWICE and process.rounds(61, 241)
                            or scheme == "https" and process.rounds(7, 37) or process.rounds(1, 7)
                        it(("%s, its %s cut by %s on a %s connection"):format(call.name, where,
                            ending, reused and "reused" or "fresh"), function()
                            local last, head = measure(call, where)
                            each_byte(last, head, step, function(at)
                                local outcome, attempts, err, id, exchanges = try(call, reused, {
                                    where = where, at = at, ["end"] = how,
                                })
                                local begun, acted = check_account(outcome, attempts, id, exchanges)
                                local first = exchanges[1]
                                -- The cut was made where it was meant to be.
                                must(first.acted == (where == "answer" or at == last), "not cut")
                                must(first.answered == (where == "answer" and at == last), "no cut")
                                check_length(call, outcome, attempts, err, begun, acted,
                                    first.answered)
                            end)
                        end)
                    end
                end
            end

            it(("an answer cut by %s is told without delay"):format(ending), function()
                local began = process.now()
                for _ = 1, 100 do
                    try(STOP_ONCE, true, { where = "answer", at = 30, ["end"] = how })
                end
                assert.is_true(process.now() - began < 5 * process.slowness)
            end)

            for _, framing in ipairs { "chunked", "close", "interim" } do
                for _, call in ipairs { STOP_ONCE, UNSAFE, REFUSED } do
                    it(("%s, its answer (%s) cut by %s"):format(call.name, framing, ending),
                        function()
                            local last, head = measure(call, "answer", framing)
                            local step = scheme == "https" and process.rounds(29, 97)
                                or process.rounds(3, 13)
                            each_byte(last, head, step, function(at)
                                local outcome, attempts, err, id, exchanges = try(call, false, {
                                    where = "answer", at = at, ["end"] = how, framing = framing,
                                })
                                -- Such an answer ends with an orderly end, or else it was lost.
                                if framing == "close" and how ~= "notify" then
                                    exchanges[1].answered = false
                                end
                                check_account(outcome, attempts, id, exchanges)
                                -- Of a last chunk that is empty the last byte says nothing.
                                local cut = at < last - (framing == "chunked" and 1 or 0)
                                if call ~= REFUSED and cut then
                                    must(outcome == "unknown", "it is " .. outcome)
                                elseif at == last and exchanges[1].answered then
                                    must(outcome == (call == REFUSED and "rejected" or "accepted"),
                                        "it is " .. outcome .. ": " .. tostring(err))
                                end
                            end)
                        end)
                end
            end
        end
    end)
end
