// Questions to the server, or to what a saved page holds.

export class AskError extends Error {
  constructor(lines) {
    super(lines[0]);
    this.lines = lines;
  }
}

// True for a request that a newer one has replaced: nothing is to be shown for it.
export function isReplaced(error) {
  return error?.name === "AbortError";
}

// Return the function by which a view asks; `saved` are the requests and answers of a saved page.
export function makeAsk(name, saved) {
  if (saved) {
    const answers = new Map(saved.map(([request, answer]) => [canonical(request), answer]));
    return async (request) => {
      const answer = answers.get(canonical(request)) ?? { error: [
        "This saved page has no answer to that.", "one of its texts", "run explore.py for the model itself",
      ] };
      if (answer.error) throw new AskError(answer.error);
      return answer;
    };
  }
  let previous = null;
  return async (request) => {
    previous?.abort();
    const controller = previous = new AbortController();
    let response;
    try {
      response = await fetch(`/api/${name}`, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify(request), signal: controller.signal,
      });
    } catch (error) {
      if (isReplaced(error)) throw error;
      throw new AskError([
        "The server does not answer.", "explore.py at work", "start it again, and open its new address",
      ]);
    }
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    const answer = isJson ? await response.json() : { error: [await response.text(), null, null] };
    if (controller.signal.aborted) throw new DOMException("replaced", "AbortError");
    if (answer.error) throw new AskError(answer.error);
    return answer;
  };
}

function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value && typeof value === "object") {
    return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  return JSON.stringify(value);
}
