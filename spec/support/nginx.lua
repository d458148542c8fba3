-- An nginx that speaks HTTP/2 over TLS before a sandbox without TLS.
local certificates = require "certificates"
local lfs = require "lfs"
local process = require "process"
local server = require "server"

local nginx = {}
nginx.__index = nginx

local CONFIGURATION = [[
worker_processes 1;
pid $DIR/nginx.pid;
error_log $DIR/error.log info;
events { worker_connections 512; }
http {
    log_format spec '$connection $server_protocol $request_method $status';
    access_log $DIR/access.log spec;
    client_body_temp_path $DIR/body;
    proxy_temp_path $DIR/proxy;
    fastcgi_temp_path $DIR/fastcgi;
    uwsgi_temp_path $DIR/uwsgi;
    scgi_temp_path $DIR/scgi;
    client_max_body_size 16m;
    server {
        listen 127.0.0.1:@PORT@ ssl http2;
        ssl_certificate $DIR/server.pem;
        ssl_certificate_key $DIR/server-key.pem;
        $MORE
        location / {
            proxy_pass $UPSTREAM;
            proxy_set_header Host $http_host;
            proxy_next_upstream off;
        }
    }
}
]]

-- Before this endpoint, with more directives for the server.
function nginx.start(upstream, more)
    local started = server.start("nginx", nil, function(directory)
        certificates.make(directory)
        process.write(directory .. "/nginx.conf", (CONFIGURATION:gsub("%$(%u+)", {
            DIR = directory, UPSTREAM = upstream, MORE = more or "",
        })))
    end)
    return setmetatable({
        server = started,
        directory = started.directory,
        port = started.port,
        endpoint = "https://127.0.0.1:" .. started.port,
        ca_file = started.directory .. "/ca.pem",
        from = 0,
    }, nginx)
end

function nginx:stop()
    self.server:stop()
end

-- The worker's process id.
function nginx:worker()
    return process.await(function()
        return self.server:children()[1]
    end, "nginx's worker")
end

function nginx:mark()
    self.from = lfs.attributes(self.directory .. "/access.log", "size") or 0
end

-- What its log says since the mark: { connection, protocol, method, status } of each request. A
-- line is written after its answer was sent, so say how many there should be.
function nginx:log(expected)
    return process.await(function()
        local lines = {}
        local text = process.read(self.directory .. "/access.log"):sub(self.from + 1)
        for connection, protocol, method, status in text:gmatch "(%d+) (%S+) (%S+) (%d+)\n" do
            lines[#lines + 1] = {
                connection = connection, protocol = protocol, method = method,
                status = tonumber(status),
            }
        end
        return #lines >= expected and lines
    end, "nginx's log")
end

return nginx
