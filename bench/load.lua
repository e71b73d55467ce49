-- wrk's script: `-- BYTES OWN`, and the figures as one line of JSON.
-- BYTES: of a POST's body; 0: GET. OWN: 1 gives each request a head of its own, like a browser's.

local function own_heads()
  local count = 0
  local head = {
    "GET /items/", "", "?page=", "", " HTTP/1.1\r\nHost: ", wrk.headers["Host"],
    "\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
      .. "\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
      .. "\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br"
      .. "\r\nConnection: keep-alive\r\nCookie: session=", "", "\r\n\r\n",
  }
  return function()
    count = count + 1
    head[2], head[4], head[8] = count, count % 10, count * 7919
    return table.concat(head)
  end
end

function init(args)
  if args[2] == "1" then
    request = own_heads()
  end
  local size = tonumber(args[1] or "0")
  if size > 0 then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.rep("x", size)
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "connect": %d, '
      .. '"read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
