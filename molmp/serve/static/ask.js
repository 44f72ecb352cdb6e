// Requests to the server; every failure is an Error with a sentence.

async function sentence(response) {
  try {
    return (await response.json()).detail;
  } catch {
    return `the server answered ${response.status}`;
  }
}

export async function ask(path, body) {
  let response;
  try {
    response = await fetch(path, body === undefined ? {} : {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
    });
  } catch {
    throw new Error("the server does not answer; is molmp serve still running?");
  }
  if (!response.ok) throw new Error(await sentence(response));
  return response.json();
}

// Send a table; `told` hears how far it is. Gives the answer as { blob, name, notes }.
export async function sendTable(file, coverage, told) {
  const job = Math.random().toString(36).slice(2);
  const form = new FormData();
  form.append("job", job);
  form.append("coverage", coverage);
  form.append("file", file, file.name ?? "molecules.csv");
  const request = new XMLHttpRequest();
  request.open("POST", "api/table");
  request.responseType = "blob";
  let timer;
  const watch = async () => {
    const found = await ask(`api/progress?job=${job}`).catch(() => null);
    if (found?.lines) told(Math.min(found.rows / found.lines, 1), `${found.rows.toLocaleString("en")} of about ${found.lines.toLocaleString("en")} rows predicted`);
    timer = setTimeout(watch, 700);
  };
  request.upload.addEventListener("progress", (event) => told(0, `${Math.round(100 * event.loaded / event.total)} % sent`));
  request.upload.addEventListener("load", () => { timer = setTimeout(watch, 300); });
  try {
    await new Promise((done, failed) => {
      request.addEventListener("load", done);
      request.addEventListener("error", () => failed(new Error("the server does not answer, or refused the table while it was sent")));
      request.send(form);
    });
  } finally {
    clearTimeout(timer);
  }
  if (request.status !== 200) throw new Error(await sentence(new Response(request.response, { status: request.status })));
  const name = /filename="([^"]+)"/.exec(request.getResponseHeader("content-disposition"))?.[1] ?? "predicted.csv";
  return { blob: request.response, name, notes: JSON.parse(request.getResponseHeader("molmp-notes") ?? "[]") };
}
