-- What wrk sends: a chat request of ordinary shape (about 800 bytes). One line of results at the end.
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer of-the-client"
wrk.body = '{"model": "stub", "stream": false, "messages": [{"role": "system", "content": "You are helpful."}, '
  .. '{"role": "user", "content": "' .. string.rep("lorem ipsum ", 50) .. '"}], "temperature": 0.2}'

done = function(summary, latency, requests)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    'RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    failed + summary.errors.status))
end
