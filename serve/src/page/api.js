// Requests to the server, and the events of its answers.

/** Error that the server answered with, or that no answer came. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const headers = (key) => ({ "content-type": "application/json", ...(key ? { authorization: `Bearer ${key}` } : {}) });

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The server does not answer. Does it still run?", 0);
  }
  if (response.ok) return response;
  const text = await response.text();
  let message = text || response.statusText;
  try {
    message = JSON.parse(text).error.message;
  } catch {
    // Proxies answer in other forms.
  }
  throw new ApiError(message, response.status);
}

/** Object that a route answers with: to `body` if there is one. */
export async function ask(path, key, body, signal) {
  const options = body === undefined ? { headers: headers(key), signal } : { method: "POST", headers: headers(key), body: JSON.stringify(body), signal };
  return (await answer(path, options)).json();
}

/** Iterates over the objects of a stream, up to its end. */
export async function* stream(path, key, body, signal) {
  const response = await answer(path, { method: "POST", headers: headers(key), body: JSON.stringify({ ...body, stream: true }), signal });
  for await (const data of events(response.body)) {
    if (data === "[DONE]") return;
    const piece = JSON.parse(data);
    if (piece.error) throw new ApiError(piece.error.message, piece.error.code);
    yield piece;
  }
  throw new ApiError("The answer broke off: the server or the connection ended.", 0);
}

/** Data of server-sent events. */
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      for (let end; (end = rest.indexOf("\n\n")) >= 0; rest = rest.slice(end + 2)) {
        const lines = rest.slice(0, end).split("\n").filter((line) => line.startsWith("data:"));
        if (lines.length > 0) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
