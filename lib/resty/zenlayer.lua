--- The Zenlayer Cloud API in OpenResty, over cosockets: nothing here ever blocks nginx.
--
--     local zenlayer = require "resty.zenlayer"
--     local client = assert(zenlayer.new { … })  -- once per worker
--     local request_ids, batches = client:stop_instances { "id1", "id2" }
--
-- Arguments, results and errors are those of `zenlayer`; what went wrong comes back as nil, err.
-- The operations are the core's: what is sent, when again, and what became of every id is decided
-- there. Here bytes are moved.
local core = require "zenlayer.core"
local http = require "resty.zenlayer.http"

local ngx = ngx
if type(ngx) ~= "table" or not ngx.socket then
    error("resty.zenlayer needs OpenResty, or nginx with its Lua module; elsewhere use zenlayer", 0)
end
local semaphore = require "ngx.semaphore"

local find, match = string.find, string.match
-- The clock of the core: what it says of deadlines is measured by that.
local now, get_phase = core.monotonic, ngx.get_phase
local update_time = ngx.update_time
local spawn, kill = ngx.thread.spawn, ngx.thread.kill
local running = coroutine.running
local tcp = ngx.socket.tcp

-- Servers close idle connections soon after a minute.
local IDLE_MS = 50000
-- An operation that waits for a place in the client looks again after so many seconds, though
-- nobody woke it: who should have, may have been aborted.
local LOOK_S = 0.25
local RECEIVE_BYTES = 64 * 1024
-- The core's clock has milliseconds.
local TICK_S = 0.002

-- Where cosockets work.
local PHASES = {
    server_rewrite = true, rewrite = true, access = true, content = true, timer = true,
    ssl_client_hello = true, ssl_cert = true, ssl_session_fetch = true, preread = true,
}

--- where to connect ------------------------------------------------------------------------------

-- "host", "host:port", "[v6]:port" → host as one connects to it, port
local function split_address(address, port)
    local host, given = match(address, "^(%[[^%]]+%]):?(%d*)$")
    if not host then
        host, given = match(address, "^([^:]+):?(%d*)$")
    end
    return host, tonumber(given) or port
end

local function decode(text)
    return (text:gsub("%%(%x%x)", function(hex)
        return string.char(tonumber(hex, 16))
    end))
end

-- The port of a proxy that names none is libcurl's.
local function read_proxy(url)
    local authority = match(url, "^%a+://([^/]*)") or match(url, "^[^/]*")
    local user, address = match(authority, "^(.*)@([^@]*)$")
    local host, port = split_address(address or authority, 1080)
    return {
        host = host, port = port, authorization = user and ngx.encode_base64(decode(user)),
        place = "the proxy " .. host .. ":" .. port,
    }
end

-- What the wire needs to know of a client, once.
local function read_target(settings)
    local scheme, authority = match(settings.endpoint, "^(https?)://(.*)$")
    local tls = scheme == "https"
    local default_port = tls and 443 or 80
    local name, endpoint_port = split_address(authority, default_port)
    local host, port = name, endpoint_port
    if settings.connect_to then
        host, port = split_address(settings.connect_to, endpoint_port)
    end
    local target = {
        endpoint = settings.endpoint,
        host = host, -- to connect to, or for the proxy to do so
        port = port,
        place = host .. ":" .. port .. (settings.connect_to and " (connect_to)" or ""),
        is_elsewhere = settings.connect_to ~= nil,
        name = tls and match(name, "^%[?([^%]]*)"), -- in the certificate
        proxy = settings.proxy and read_proxy(settings.proxy),
        connect_timeout = settings.connect_timeout,
        max_response_bytes = settings.max_response_bytes,
        pool_size = settings.max_concurrency,
    }
    local proxy = target.proxy
    local dial = (proxy or target).host
    target.is_address = find(dial, "^%d+%.%d+%.%d+%.%d+$") or find(dial, "^%[")
    -- The names of pools are in nginx's debug log: no password in them.
    target.pool = table.concat({
        "zenlayer", host, port, target.name or "",
        proxy and proxy.host or "", proxy and proxy.port or "",
        proxy and ngx.md5(proxy.authorization or "") or "",
    }, "|")
    return target
end

--- one exchange ----------------------------------------------------------------------------------

-- An exchange is { n =, request = its bytes, target =, sock =, deadline =, connect_deadline =,
-- limit = the one that the socket's timeouts are for, limited = when they were set, doing = what it
-- is at, connected =, sent = whether bytes of it may have left, received = how many came }. What
-- goes wrong is nil, code, message.

-- A tick longer: where the time is the operation's deadline, the core has to see it passed.
local function timeout_ms(seconds)
    return (seconds > 0 and seconds + TICK_S or TICK_S) * 1000
end

-- nginx's timers count from when it last looked at its clock, so it has to look. Timeouts that were
-- set in this millisecond hold still.
local function set_timeout(exchange, limit)
    local time = now()
    if exchange.limited ~= time or exchange.limit ~= limit then
        update_time()
        exchange.sock:settimeout(timeout_ms(limit - time))
        exchange.limited, exchange.limit = time, limit
    end
end

-- The same for the next connect, and with no proxy for what follows where there is a connection.
local function set_connect_timeout(exchange)
    local time, limit = now(), exchange.target.proxy and exchange.connect_deadline
        or exchange.deadline
    local timeout = timeout_ms(limit - time)
    update_time()
    exchange.sock:settimeouts(timeout_ms(exchange.connect_deadline - time), timeout, timeout)
    exchange.limited, exchange.limit = time, limit
    return time
end

-- What is done with the proxy, where there is one, and not with the server.
local WITH_PROXY = {
    ["resolving"] = true, ["connecting to"] = true, ["resolving or connecting to"] = true,
    ["CONNECT by"] = true,
}

-- "connecting to 127.0.0.1:443 (connect_to), for https://api.example: connection refused"
local function explain(exchange, problem)
    local target = exchange.target
    local proxy = target.proxy
    local with_proxy = proxy and WITH_PROXY[exchange.doing]
    local text = exchange.doing .. " " .. (with_proxy and proxy.place or target.place)
    if proxy and not with_proxy then
        text = text .. " through " .. proxy.place
    end
    if with_proxy or target.is_elsewhere then
        text = text .. ", for " .. target.endpoint
    end
    return text .. ": " .. problem
end

local function explain_timeout(exchange)
    local limit = exchange.target.connect_timeout
    if exchange.connected then
        local what = exchange.received > 0 and exchange.received .. " bytes came"
            or exchange.doing == "sending to" and "not all was taken" or "nothing came"
        return explain(exchange, ("%s within %g s"):format(what, exchange.timeout))
    elseif limit < exchange.timeout then
        return explain(exchange, ("not done within %g s (connect_timeout)"):format(limit))
    end
    return explain(exchange, ("not done within %g s"):format(exchange.timeout))
end

local function connect_failed(exchange, err)
    if find(err, "no resolver defined", 1, true) then
        exchange.doing = "resolving"
        return nil, "NOT_CONFIGURED",
            explain(exchange, err .. ": nginx.conf needs the directive resolver")
    elseif err == "timeout" then
        exchange.doing = "connecting to"
        return nil, "CONNECT_TIMEOUT", explain_timeout(exchange)
    end
    local not_resolved = find(err, "could not be resolved", 1, true)
    exchange.doing = not_resolved and "resolving" or "connecting to"
    return nil, exchange.target.proxy and "PROXY_FAILED"
        or not_resolved and "RESOLVE_FAILED" or "CONNECT_FAILED", explain(exchange, err)
end

local function handshake_failed(exchange, err)
    local target = exchange.target
    if err == "timeout" then
        return nil, "CONNECT_TIMEOUT", explain_timeout(exchange)
    elseif find(err, "host mismatch", 1, true) then
        return nil, "TLS_VERIFY_FAILED", explain(exchange, ("%s; the name that was verified is the "
            .. "endpoint's, %s%s"):format(err, target.name,
            target.is_elsewhere and ", not that of connect_to" or ""))
    elseif find(err, "^%d+: ") or find(err, "certificate", 1, true) then
        local dated = find(err, "^9: ") or find(err, "^10: ")
        return nil, "TLS_VERIFY_FAILED", explain(exchange, err
            .. (dated and ", or this machine's clock is wrong" or "")
            .. "; trusted is what the directive lua_ssl_trusted_certificate names, through"
            .. " lua_ssl_verify_depth certificates (1 by default)")
    end
    return nil, "TLS_FAILED", explain(exchange, err .. "; nginx's error log says why")
end

local function receive(exchange)
    local connected = exchange.connected
    set_timeout(exchange, connected and exchange.deadline or exchange.connect_deadline)
    local bytes, err = exchange.sock:receiveany(RECEIVE_BYTES)
    if bytes and connected then
        exchange.doing = "receiving from"
        exchange.received = exchange.received + #bytes
    end
    return bytes, err
end

local function open_tunnel(exchange)
    local sock, target = exchange.sock, exchange.target
    local address = target.host .. ":" .. target.port
    local authorization = target.proxy.authorization
    exchange.doing = "CONNECT by"
    local sent, err = sock:send {
        "CONNECT ", address, " HTTP/1.1\r\nHost: ", address, "\r\n",
        authorization and "Proxy-Authorization: Basic " .. authorization .. "\r\n" or "", "\r\n",
    }
    local status, code
    if sent then
        status, code, err = http.read_tunnel(receive, exchange)
    end
    if code == "TIMEOUT" or err == "timeout" then
        return nil, "CONNECT_TIMEOUT", explain_timeout(exchange)
    elseif not status then
        return nil, "PROXY_FAILED", explain(exchange, tostring(err))
    elseif status < 200 or status > 299 then
        return nil, "PROXY_FAILED", explain(exchange, "it answered HTTP " .. status)
    end
    return true
end

-- Where a handshake is over at once, and ends in a certificate that is not accepted, resty.core
-- (0.1.25) fails in an assertion, and does not tell why.
local function shake_hands(sock, name)
    local ran, session, err = pcall(sock.sslhandshake, sock, nil, name, true)
    if ran then
        return session, err
    elseif find(tostring(session), "assertion failed", 1, true) then
        return nil, "the certificate is not that of " .. name .. ", or is not trusted"
    end
    return error(session, 0)
end

-- TLS is verified with a name, always: without one nothing would be checked at all.
local function open(exchange)
    local sock, target = exchange.sock, exchange.target
    local dial, began = target.proxy or target, set_connect_timeout(exchange)
    local ok, err = sock:connect(dial.host, dial.port, { pool = target.pool })
    if not ok then
        return connect_failed(exchange, err)
    end
    if sock:getreusedtimes() > 0 then
        return true
    end
    if target.proxy then
        local code, message
        ok, code, message = open_tunnel(exchange)
        if not ok then
            return nil, code, message
        end
    end
    if target.name then
        exchange.doing = "TLS handshake with"
        set_timeout(exchange, exchange.connect_deadline)
        ok, err = shake_hands(sock, target.name)
        if not ok then
            return handshake_failed(exchange, err)
        end
    end
    target.tell_opened(now() - began, dial.host .. ":" .. dial.port)
    return true
end

local function exchange_bytes(exchange)
    local sock = exchange.sock
    local ok, code, message = open(exchange)
    if not ok then
        return nil, code, message
    end
    exchange.connected = true
    set_timeout(exchange, exchange.deadline)
    exchange.sent = true -- from here on nobody can tell what left
    exchange.doing = "sending to"
    local sent, err = sock:send(exchange.request)
    if not sent and err == "timeout" then
        return nil, "TIMEOUT", explain_timeout(exchange)
    elseif not sent then
        return nil, "CONNECTION_LOST", explain(exchange, tostring(err))
    end
    exchange.doing = "waiting for the answer of"
    local answer
    answer, code, message = http.read(receive, exchange.target.max_response_bytes, exchange)
    if not answer and code == "TIMEOUT" then
        return nil, code, explain_timeout(exchange)
    elseif not answer then
        local count = code == "CONNECTION_LOST" and exchange.received > 0
            and (" (%d bytes came)"):format(exchange.received) or ""
        return nil, code, explain(exchange, message .. count)
    end
    if answer.reusable then
        sock:setkeepalive(IDLE_MS, exchange.target.pool_size)
    else
        sock:close()
    end
    return answer
end

--- semaphores -------------------------------------------------------------------------------------

-- They are used again, and never collected: nginx's Lua module (0.10.23) looks at one again after
-- it has resumed who waited for it.
local semaphores = {}

local function take_semaphore()
    local taken = semaphores[#semaphores]
    semaphores[#semaphores] = nil
    return taken or semaphore.new(0)
end

local function give_back(taken)
    while taken:count() > 0 do
        taken:wait(0)
    end
    semaphores[#semaphores + 1] = taken
end

--- driving an operation --------------------------------------------------------------------------

-- A run waits on its semaphore, which most runs never need.
local function wake(run)
    if run.wake then
        run.wake:post()
    end
end

-- Operations of a client that wait for a place in it, oldest first. Whoever frees one wakes the
-- first, and who was woken and found one wakes the next.
local function wake_next(client)
    while client.first < client.last do
        client.first = client.first + 1
        local run = client.waiting[client.first]
        client.waiting[client.first] = nil
        run.queued = false
        if run.starved then
            run.starved = false
            run.was_woken = true
            wake(run)
            return
        end
    end
end

-- Report what an exchange came to. A function of the user's may be called by that, and raise.
local function report(run, exchange, answer, code, message)
    local ok, counted, done -- the second is an error if not ok
    run.exchanges[exchange] = nil
    if answer then
        ok, counted, done = pcall(run.op.reply, run.op, exchange.n, answer.status, answer.head,
            answer.body)
    else
        ok, counted, done = pcall(run.op.failed, run.op, exchange.n, message, exchange.sent, code)
    end
    if ok then
        run.done = done
    else
        run.raised = { counted }
    end
    wake_next(run.client)
end

local function carry_out(run, exchange)
    local ok, answer, code, message = pcall(exchange_bytes, exchange)
    if not ok then
        answer, code, message = nil, nil, tostring(answer)
    end
    if not answer then
        exchange.sock:close()
    end
    report(run, exchange, answer, code, message)
end

-- A light thread of a run: carries out what it is given, one after another. nginx's list of a
-- request's threads only grows, so they are used again.
local function work(run, exchange)
    local worker = { thread = coroutine.running(), wake = take_semaphore() }
    run.workers = run.workers or {}
    run.workers[worker] = true
    run.idle = run.idle or {}
    while true do
        exchange.worker = worker
        carry_out(run, exchange)
        worker.next = nil
        run.idle[#run.idle + 1] = worker
        wake(run)
        repeat
            worker.wake:wait(60)
        until worker.next
        exchange = worker.next
    end
end

local function new_exchange(run, n, request, timeout, deadline)
    local target, began = run.client.target, deadline - timeout
    local exchange = {
        n = n, target = target, request = request, sock = tcp(), sent = false, connected = false,
        doing = target.is_address and "connecting to" or "resolving or connecting to", received = 0,
        limit = 0, limited = 0,
        deadline = deadline, timeout = timeout,
        connect_deadline = began + math.min(target.connect_timeout, timeout),
    }
    run.exchanges[exchange] = true
    return exchange
end

local function start(run, exchange)
    local worker = run.idle and run.idle[#run.idle]
    if worker then
        run.idle[#run.idle] = nil
        worker.next = exchange
        exchange.worker = worker
        worker.wake:post()
    else
        spawn(work, run, exchange)
    end
end

local function dismiss(run, worker)
    run.workers[worker] = nil
    kill(worker.thread)
    give_back(worker.wake)
end

local function stop(run, exchange)
    if exchange.worker then -- or it was not begun
        dismiss(run, exchange.worker)
    end
    pcall(exchange.sock.close, exchange.sock)
end

-- Exchanges keep their time by themselves, but for a name that is being resolved: that has a limit
-- of its own. And when a deadline ends an operation, it must have been told before what was sent.
-- Returns when the next one is due, or nil if one was.
local function expire(run, time)
    local due, one_was = math.huge, false
    for exchange in pairs(run.exchanges) do
        local limit = exchange.connected and exchange.deadline or exchange.connect_deadline
        if limit > time then
            due = math.min(due, limit)
        else
            stop(run, exchange)
            local code = exchange.connected and "TIMEOUT" or "CONNECT_TIMEOUT"
            report(run, exchange, nil, code, explain_timeout(exchange))
            one_was = true
        end
    end
    return not one_was and due or nil
end

-- Whether its request was aborted: nginx stops what such a one does wherever it is, takes its
-- connection away, and tells nobody. What goes on has a connection, or is making one in time.
local function is_aborted(exchange, time)
    if exchange.connected then
        return not exchange.sock:getreusedtimes() or time > exchange.deadline + 1
    end
    return time > exchange.connect_deadline + 1
end

-- Give back the places that aborted requests hold.
local function free_aborted(client, time)
    if time - client.looked < LOOK_S then
        return
    end
    client.looked = time
    for run in pairs(client.runs) do
        for exchange in pairs(run.exchanges) do
            if is_aborted(exchange, time) then
                report(run, exchange, nil, "CONNECTION_LOST", "the request was aborted")
            end
        end
    end
end

-- Wait for a report, or so many seconds.
local function pause(run, kind, seconds)
    local client, time = run.client, now()
    local due = expire(run, time)
    if not due then
        return
    end
    run.starved = kind == "pending" and next(run.exchanges) == nil
    if run.starved then
        if not run.queued then -- or it keeps its place
            client.last = client.last + 1
            client.waiting[client.last] = run
            run.queued = true
        end
        free_aborted(client, time)
        seconds = math.min(seconds, LOOK_S)
    end
    run.wake = run.wake or take_semaphore()
    run.wake:wait(math.max(0.001, math.min(seconds, due - time)))
    run.starved = false
    -- At a deadline the core must not be asked before its clock and this one say the same.
    due = expire(run, now())
    while due and due - now() < TICK_S do
        ngx.sleep(TICK_S)
        due = expire(run, now())
    end
end

-- The client was closed: nothing new begins, and nobody waits for what is under way.
local function cancel(run)
    for exchange in pairs(run.exchanges) do
        stop(run, exchange)
        report(run, exchange, nil, "CANCELLED", "the client was closed")
    end
    run.op:cancel "the client was closed"
end

-- Ask the credentials function, which may do what yields: in a timer, because all wait for it, and
-- the request that happened to need it first may be aborted.
local function renew(client)
    local function take(...)
        client.asking = false
        if not client.closed then
            client.core:take_credentials(...)
        end
        for run in pairs(client.runs) do
            wake(run)
        end
    end
    local ok, err = ngx.timer.at(0, function(premature)
        if premature then
            return take(true, nil, "nginx is about to exit")
        end
        client.asking = coroutine.running()
        take(pcall(client.credentials))
    end)
    if not ok then
        take(true, nil, "no timer to run it in: " .. tostring(err))
    end
end

-- Where nothing else is to be done before an exchange ends, no light thread is needed for it, if it
-- will keep its time: a name's resolution may not.
local function begin(run, exchange, is_alone)
    if is_alone and exchange.target.is_address then
        carry_out(run, exchange)
    else
        start(run, exchange)
    end
end

local function drive(run)
    local op = run.op
    while not (run.raised or run.done) do
        if run.client.closed then
            cancel(run)
        end
        local kind, n, request, timeout, deadline, is_alone = op:step_http()
        if kind == "done" then
            return
        elseif kind == "send" then
            local exchange = new_exchange(run, n, request, timeout, deadline)
            if run.was_woken then -- there may be places for more
                run.was_woken = false
                wake_next(run.client)
            end
            if not run.client.closed then -- by on_event, which was told of it: then it is not sent
                begin(run, exchange, is_alone)
            end
        elseif kind == "credentials" then
            renew(run.client)
        else
            pause(run, kind, n)
        end
    end
end

-- Returns what `f` returns; nil, err for an error of ours; raises any other.
local function protect(ok, ...)
    if ok then
        return ...
    end
    local err = ...
    if core.is_error(err) then
        return nil, err
    end
    return error(err, 0)
end

local function carry(client, op)
    local run = {
        client = client, op = op, exchanges = {}, workers = nil, idle = nil, wake = nil,
        starved = false, was_woken = false, queued = false, raised = nil, done = false,
    }
    client.runs[run] = true
    local ok, err = pcall(drive, run)
    client.runs[run] = nil
    for exchange in pairs(run.exchanges) do
        stop(run, exchange)
    end
    if run.workers then
        for worker in pairs(run.workers) do
            dismiss(run, worker)
        end
    end
    if run.wake then
        give_back(run.wake)
        run.wake = nil
    end
    if run.raised or not ok then
        return error(run.raised and run.raised[1] or err, 0)
    end
    return protect(pcall(op.result, op))
end

--- the client ------------------------------------------------------------------------------------

local client = {}
client.__index = client

-- The methods of the core's clients, which tell what else was called with '.' in place of ':'.
local bare_methods

local function core_of(self)
    return getmetatable(self) == client and self.core or self
end

-- true, or nil, err where a call cannot be made.
local function check_phase(self, bare)
    local phase = get_phase()
    if getmetatable(self) == client and self.asking and self.asking == running() then
        return protect(pcall(bare_methods.wrong_phase, bare,
            "the credentials function used its own client, which waits for it"))
    elseif PHASES[phase] then
        return true
    end
    return protect(pcall(bare_methods.wrong_phase, bare,
        "cosockets do not work in the phase " .. phase .. " (directive " .. phase
        .. "_by_lua…): call from a request's access or content phase, or from a timer"
        .. " (ngx.timer.at)"))
end

local function method(prepare)
    return function(self, ...)
        local bare = core_of(self)
        local works, err = check_phase(self, bare)
        if not works then
            return nil, err
        end
        local ok, op = pcall(bare_methods[prepare], bare, ...)
        if not ok then
            return protect(false, op)
        end
        return carry(self, op)
    end
end

--- Stop instances. ids: a list, of any length. → request_ids, batches | nil, err
client.stop_instances = method "prepare_stop_instances"

--- The status of instances; of all without ids. → { [id] = status } | nil, err
client.describe_instances_status = method "prepare_describe_instances_status"

--- Wait until instances are STOPPED; on_progress must not yield.
-- → { [id] = "STOPPED" } | nil, err
client.wait_until_stopped = method "prepare_wait_until_stopped"

--- Any action. → response, request_id | nil, err
client.call = method "prepare"

local function carry_page(self, op)
    local works, err = check_phase(self, self.core)
    if not works then
        return nil, err
    end
    return carry(self, op)
end

--- Every page of a Describe… action. → iterator of response, request_id; or of false, err for the
-- page that failed, which is then the last. | nil, err
function client:pages(...)
    local pages, wrong = protect(pcall(bare_methods.prepare_pages, core_of(self), ...))
    if not pages then
        return nil, wrong
    end
    return function()
        local op, err = protect(pcall(pages.prepare, pages))
        if not op then
            return err and false, err
        end
        local ok, response, request_id = pcall(carry_page, self, op)
        pages:take(ok and response or nil)
        if not ok then
            return error(response, 0)
        end
        return response or false, request_id
    end
end

--- End what is under way, as CANCELLED, but for an operation that just waits for its one answer; no
-- call may be begun any more. Connections in the pool close by themselves.
function client:close()
    if getmetatable(self) ~= client then
        return protect(pcall(bare_methods.close, self))
    end
    self.closed = true
    self.core:close()
    for run in pairs(self.runs) do
        wake(run)
    end
end

function client:__tostring()
    return "resty." .. tostring(self.core)
end

core.refuse_unknown_methods(client, "a client")

local zenlayer = {
    _VERSION = core._VERSION,
    empty_array = core.empty_array,
    is_error = core.is_error,
    null = core.null,
}

--- A client, for all requests of a worker: make it at module level or in init_worker_by_lua.
-- options: as for zenlayer.new, without ca_file and ca_path; proxy is an http URL, and that of the
-- environment is not looked at. → client | nil, err
function zenlayer.new(options)
    local bare, err = protect(pcall(core.new, options))
    if not bare then
        if err.code == "CREDENTIALS_MISSING" then
            err.message = err.message .. ". nginx clears the environment of its workers: nginx.conf"
                .. " needs \"env ZENLAYER_ACCESS_KEY_ID;\" and \"env ZENLAYER_ACCESS_KEY_SECRET;\""
                .. ", or \"env HOME;\" for the files"
        end
        return nil, err
    end
    bare_methods = getmetatable(bare).__index
    local target = read_target(bare:settings())
    function target.tell_opened(seconds, address)
        pcall(bare.tell_opened, bare, seconds, address) -- it may have been closed meanwhile
    end
    return setmetatable({
        core = bare,
        credentials = options and options.credentials,
        target = target,
        runs = setmetatable({}, { __mode = "k" }),
        waiting = {},
        first = 0,
        last = 0,
        looked = 0,
        closed = false,
        asking = false, -- the light thread that the credentials function runs in
    }, client)
end

--- Headers of a signed request; see zenlayer.sign. → table | nil, err
function zenlayer.sign(options)
    return protect(pcall(core.sign, options))
end

return zenlayer
