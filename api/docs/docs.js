// Shows openapi.json and sends requests to the API that serves this page. Text from elsewhere becomes
// text nodes only, never markup. The token stays in this page's memory.

const methods = ["get", "post", "put", "patch", "delete"];
const $ = (id) => document.getElementById(id);
let doc;

function el(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children.filter((child) => child !== undefined && child !== null));
  return node;
}

function resolve(schema, depth = 0) {
  if (!schema?.$ref || depth > 20) return schema ?? {};
  const found = schema.$ref.replace(/^#\//, "").split("/").reduce((at, name) => at?.[name.replaceAll("~1", "/").replaceAll("~0", "~")], doc);
  return resolve(found, depth + 1);
}

function typeOf(schema) {
  const s = resolve(schema);
  const types = [s.type ?? (s.oneOf ?? s.anyOf)?.map(typeOf)].flat(2).filter(Boolean);
  let text = types.join(" or ") || "any";
  if (s.type === "array" || s.type?.includes?.("array") && s.items) text = "array of " + typeOf(s.items);
  if (s.format) text += ` (${s.format})`;
  if (s.enum) text += ": " + s.enum.join(", ");
  return text;
}

// example makes a value that a schema describes; what is optional is left out past the first levels.
function example(schema, depth = 0) {
  const s = resolve(schema);
  if (s.examples?.length) return s.examples[0];
  for (const given of [s.example, s.default, s.const, s.enum?.[0]]) if (given !== undefined) return given;
  const type = [s.type].flat().find((t) => t && t !== "null");
  if (!type && (s.oneOf ?? s.anyOf)) return example((s.oneOf ?? s.anyOf)[0], depth);
  switch (type) {
    case "object": {
      const value = {};
      for (const [name, member] of Object.entries(s.properties ?? {})) {
        if (depth < 3 && !resolve(member).readOnly) value[name] = example(member, depth + 1);
      }
      return value;
    }
    case "array": return depth < 4 ? [example(s.items, depth + 1)] : [];
    case "integer": return Math.max(1, s.minimum ?? 1);
    case "number": return Math.max(9.99, s.minimum ?? 0);
    case "boolean": return true;
    case "string": return { "date-time": new Date().toISOString(), date: new Date().toISOString().slice(0, 10), uuid: crypto.randomUUID?.() ?? "", email: "ann@shop.example" }[s.format] ?? "text";
  }
  return null;
}

function members(schema) {
  const s = resolve(schema);
  const rows = Object.entries(s.properties ?? {}).map(([name, member]) => el("tr", {},
    el("td", {}, el("code", {}, name), s.required?.includes(name) ? " *" : ""),
    el("td", {}, typeOf(member)), el("td", {}, resolve(member).description ?? "")));
  return rows.length ? el("table", {}, ...rows) : undefined;
}

// rowsOf is the schema that a reader wants to see: that of the rows where a body is a list of them.
function rowsOf(schema) {
  const s = resolve(schema);
  const list = Object.values(s.properties ?? {}).map(resolve).find((m) => m.type === "array" && m.items);
  return s.type === "array" ? s.items : list?.items ?? s;
}

function parameterInputs(op) {
  return (op.parameters ?? []).map(resolve).map((parameter) => {
    const input = el("input", { required: parameter.required ?? false, placeholder: typeOf(parameter.schema), title: parameter.description ?? "" });
    return { ...parameter, input };
  });
}

function request(op, method, path, parameters, body, type) {
  const query = new URLSearchParams();
  const headers = {};
  for (const { name, in: place, input } of parameters) {
    if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.value && place === "query") query.append(name, input.value);
    else if (input.value && place === "header") headers[name] = input.value;
  }
  if ($("token").value && op.security?.length) headers.Authorization = "Bearer " + $("token").value.trim();
  if (body !== undefined) headers["Content-Type"] = type;
  const search = query.toString();
  return { url: location.origin + path + (search && "?" + search), options: { method: method.toUpperCase(), headers, body } };
}

const quote = (text) => "'" + text.replaceAll("'", `'\\''`) + "'";

function curl({ url, options }) {
  const headers = Object.entries(options.headers).map(([name, value]) =>
    name === "Authorization" ? ` \\\n  -H "Authorization: Bearer $TOKEN"` : ` \\\n  -H ${quote(name + ": " + value)}`);
  const body = options.body === undefined ? "" : ` \\\n  --data-binary ${quote(options.body)}`;
  return `curl -X ${options.method} ${quote(url)}${headers.join("")}${body}`;
}

function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  // numbers are shown as they came: parsed and printed again, large ones would be others
  let indent = 0;
  return text.trim().replace(/"(?:\\.|[^"\\])*"|[{}[\],:]|\s+|[^\s{}[\],:"]+/g, (token) => {
    const line = () => "\n" + "  ".repeat(indent);
    if (token === "{" || token === "[") { indent++; return token + line(); }
    if (token === "}" || token === "]") { indent--; return line() + token; }
    if (token === ",") return token + line();
    if (token === ":") return ": ";
    return token.trim() === "" ? "" : token;
  }).replace(/([{[])\s+([}\]])/g, "$1$2");
}

async function send(made, shown) {
  shown.replaceChildren(el("h3", {}, "Request"), el("pre", {}, curl(made)));
  const begun = performance.now();
  try {
    const answer = await fetch(made.url, { ...made.options, credentials: "omit" });
    const text = await answer.text();
    const took = Math.round(performance.now() - begun);
    const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    shown.append(el("h3", { className: answer.ok ? "" : "bad" }, `Answer ${answer.status} ${answer.statusText}, ${took} ms`),
      el("pre", {}, pretty(text) || "(empty)"), el("pre", {}, headers));
  } catch (error) {
    shown.append(el("h3", { className: "bad" }, "No answer: " + error.message));
  }
}

function operation(path, method, op) {
  const parameters = parameterInputs(op);
  const content = resolve(op.requestBody)?.content ?? {};
  const types = Object.keys(content).sort();
  const shown = el("div", { ariaLive: "polite" });
  let type, body;
  const parts = [op.description && el("p", {}, op.description)];
  if (parameters.length) {
    parts.push(el("h3", {}, "Parameters"), el("div", { className: "row" }, ...parameters.map((p) =>
      el("label", {}, `${p.name}${p.required ? " *" : ""} (${p.in})`, p.input))));
  }
  if (types.length) {
    type = el("select", { ariaLabel: "Content-Type" }, ...types.map((name) => el("option", {}, name)));
    body = el("textarea", { spellcheck: false, ariaLabel: "Body" });
    const fill = () => {
      const value = example(content[type.value].schema);
      const json = content["application/json"]?.schema;
      if (type.value === "application/x-ndjson" && json) body.value = JSON.stringify(example(rowsOf(json))) + "\n";
      else if (type.value === "application/x-www-form-urlencoded") body.value = new URLSearchParams(value).toString();
      else body.value = typeof value === "string" ? value : JSON.stringify(value, null, 2);
    };
    type.addEventListener("change", fill);
    fill();
    parts.push(el("h3", {}, "Body"), resolve(op.requestBody).description && el("p", {}, resolve(op.requestBody).description),
      members(rowsOf((content["application/json"] ?? content[types[0]]).schema)), type, body);
  }
  const button = el("button", { type: "button" }, "Send");
  button.addEventListener("click", () => {
    const missing = parameters.find((p) => p.required && !p.input.value);
    if (missing) return missing.input.focus();
    return send(request(op, method, path, parameters, body?.value, type?.value), shown);
  });
  const answers = Object.entries(op.responses ?? {}).sort().map(([status, answer]) => {
    const schema = Object.values(resolve(answer).content ?? {})[0]?.schema;
    return el("tr", {}, el("td", {}, el("code", {}, status)), el("td", {}, resolve(answer).description ?? ""),
      el("td", {}, schema ? schema.$ref?.split("/").pop() ?? typeOf(schema) : ""));
  });
  parts.push(el("p", {}, button), shown, el("h3", {}, "Answers"), el("table", {}, ...answers));
  const details = el("details", { id: "op-" + (op.operationId ?? method + path) },
    el("summary", {}, el("span", { className: "method " + method }, method.toUpperCase()), el("span", { className: "path" }, path),
      el("span", { className: "summary" }, op.summary ?? ""), op.security?.length && el("span", { className: "locked" }, "needs a token")),
    el("div", {}, ...parts.filter(Boolean)));
  details.dataset.words = [method, path, op.summary, op.tags].flat().join(" ").toLowerCase();
  return details;
}

function show() {
  document.title = doc.info.title + " API";
  $("title").textContent = `${doc.info.title} ${doc.info.version ?? ""}`;
  $("description").textContent = doc.info.description ?? "";
  const byTag = new Map();
  for (const [path, item] of Object.entries(doc.paths).sort()) {
    for (const method of methods.filter((m) => item[m])) {
      const tag = item[method].tags?.[0] ?? "other";
      byTag.set(tag, [...byTag.get(tag) ?? [], operation(path, method, item[method])]);
    }
  }
  $("operations").replaceChildren(...[...byTag].sort(([a], [b]) => a.localeCompare(b)).map(([tag, operations]) =>
    el("section", {}, el("h2", {}, tag), ...operations)));
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.setAttribute("open", "");
}

$("find").addEventListener("input", ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const section of document.querySelectorAll("section")) {
    const all = [...section.querySelectorAll("details")];
    for (const details of all) details.hidden = !details.dataset.words.includes(wanted);
    section.hidden = all.every((details) => details.hidden);
  }
});

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { username, password } = event.target.elements;
  const state = $("login-state");
  try {
    const answer = await fetch("/api/v1/token", {
      method: "POST", credentials: "omit",
      body: new URLSearchParams({ username: username.value, password: password.value }),
    });
    const said = await answer.json();
    state.className = answer.ok ? "" : "bad";
    state.textContent = answer.ok ? `Token of ${username.value}, good for ${Math.round(said.expires_in / 60)} minutes.` : said.detail ?? said.title;
    if (answer.ok) $("token").value = said.access_token;
  } catch (error) {
    state.className = "bad";
    state.textContent = "No answer: " + error.message;
  }
  password.value = "";
});

try {
  const answer = await fetch("/openapi.json", { credentials: "omit" });
  if (!answer.ok) throw new Error(`it is answered ${answer.status}`);
  doc = await answer.json();
  show();
} catch (error) {
  $("operations").replaceChildren(el("p", { className: "bad" }, "openapi.json cannot be read: " + error.message));
}
