// The examples of docs/page.md for a browser on another machine, as they stand there: nginx with TLS, and a tunnel of SSH.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { MPRUN, TICK, freePort, launch, shown, until } from "./pipeline.js";

const DOCS = fs.readFileSync(path.resolve("../../docs/page.md"), "utf8");
const answers = (port) => new Promise((done) => {
  const socket = net.connect(port, "127.0.0.1", () => { socket.destroy(); done(true); });
  socket.once("error", () => done(false));
});

async function ended(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once("exit", done));
  child.kill(signal);
  await gone;
}

// The page is used, and each second comes in its second.
async function followed(page) {
  const said = new Set();
  const begun = Date.now();
  await until("the state of four seconds", async () => said.add(await page.locator("#state").textContent()).size >= 5);
  assert.ok(Date.now() - begun < 12_000, "events were held up");
  await page.locator("header").getByRole("button", { name: "Pause" }).click();
  await page.locator("#state", { hasText: "paused" }).waitFor();
}

function folder() {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), "mprun-page-elsewhere-"));
  fs.chmodSync(made, 0o700);
  return made;
}

test("the page works behind nginx with TLS as docs/page.md shows it", async () => {
  const place = folder();
  const [tls, port] = [await freePort(), await freePort()];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=mprun.example.com", "-keyout", `${place}/mprun.key`, "-out", `${place}/mprun.pem`], { stdio: "ignore" });
  const server = /```nginx\n([\s\S]*?)```/.exec(DOCS)[1].replaceAll("/etc/ssl/", `${place}/`).replace("listen 443", `listen 127.0.0.1:${tls}`).replace("127.0.0.1:7070", `127.0.0.1:${port}`);
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((name) => `${name}_temp_path ${place}/${name};`).join(" ");
  const user = process.getuid() === 0 ? "user root;\n" : "";
  fs.writeFileSync(`${place}/nginx.conf`, `${user}daemon off;\npid ${place}/pid;\nerror_log ${place}/errors;\nevents {}\nhttp { access_log ${place}/requests; ${temporary}\n${server}}\n`);
  const nginx = spawn("nginx", ["-p", place, "-e", `${place}/errors`, "-c", `${place}/nginx.conf`], { stdio: "ignore" });
  // The browser's name for the proxy, at the port that a test may have.
  const browser = await launch(`--host-resolver-rules=MAP mprun.example.com:443 127.0.0.1:${tls}`);
  try {
    await until("nginx", () => answers(tls));
    const text = `hosts = ["mprun.example.com"]\n${TICK}`;
    const options = { args: ["--base", "https://mprun.example.com"], ignoreHTTPSErrors: true, pipeline: { listen: `127.0.0.1:${port}` } };
    await shown(browser, text, async (page, pipeline) => {
      await followed(page);
      // A proxy's log has neither the code of the link nor a key.
      const requests = fs.readFileSync(`${place}/requests`, "utf8");
      const key = await page.evaluate(() => localStorage.getItem("mprun-key"));
      assert.ok(requests.includes("GET /open ") && requests.includes("POST /v1/pause "), requests);
      assert.ok(!requests.includes(key) && !requests.includes("#"), requests);
      assert.ok(pipeline.status().paused);
    }, options);
  } finally {
    await browser.close();
    await ended(nginx, "SIGTERM");
    fs.rmSync(place, { recursive: true, force: true });
  }
});

test("the page works through a tunnel of SSH as docs/page.md shows it", async () => {
  const place = folder();
  const [ssh, local] = [await freePort(), await freePort()];
  for (const key of ["host", "user"]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", `${place}/${key}`]);
  fs.copyFileSync(`${place}/user.pub`, `${place}/authorized_keys`);
  const browser = await launch();
  let [server, tunnel] = [null, null];
  try {
    await shown(browser, TICK, async (_page, pipeline) => {
      fs.symlinkSync(path.resolve(MPRUN), `${place}/mprun`);
      const variables = { XDG_RUNTIME_DIR: pipeline.env.XDG_RUNTIME_DIR, XDG_STATE_HOME: pipeline.env.XDG_STATE_HOME, PATH: `${place}:${process.env.PATH}` };
      fs.writeFileSync(`${place}/sshd_config`, [`Port ${ssh}`, "ListenAddress 127.0.0.1", `HostKey ${place}/host`, `PidFile ${place}/pid`, `AuthorizedKeysFile ${place}/authorized_keys`, "StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin yes",
        `SetEnv ${Object.entries(variables).map(([name, value]) => `${name}=${value}`).join(" ")}`].join("\n") + "\n");
      fs.writeFileSync(`${place}/ssh_config`, `Host server\n  HostName 127.0.0.1\n  Port ${ssh}\n  User ${os.userInfo().username}\n  IdentityFile ${place}/user\n  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n`);
      if (process.getuid() === 0) fs.mkdirSync("/run/sshd", { recursive: true });
      server = spawn("/usr/sbin/sshd", ["-D", "-f", `${place}/sshd_config`, "-E", `${place}/log`], { stdio: "ignore" });
      await until("sshd", () => answers(ssh));
      // The two lines of the docs, with this test's ports.
      const [, forward, open] = /\$ ssh -N -L (\S+) server &\n\$ ssh server (mprun open shop --base \S+)/.exec(DOCS);
      const port = new URL(pipeline.base).port;
      tunnel = spawn("ssh", ["-F", `${place}/ssh_config`, "-N", "-L", forward.replace("8080", local).replace("7070", port), "server"], { stdio: "ignore" });
      await until("the tunnel", () => answers(local));
      const link = execFileSync("ssh", ["-F", `${place}/ssh_config`, "server", open.replace("8080", local)], { encoding: "utf8" }).trim();
      assert.ok(link.startsWith(`http://localhost:${local}/open#`), link);
      const page = await (await browser.newContext()).newPage();
      await page.goto(link);
      await page.locator("#state", { hasText: "up " }).waitFor();
      await followed(page);
      await page.context().close();
    });
  } finally {
    if (tunnel) await ended(tunnel, "SIGTERM");
    if (server) await ended(server, "SIGTERM");
    await browser.close();
    fs.rmSync(place, { recursive: true, force: true });
  }
});
