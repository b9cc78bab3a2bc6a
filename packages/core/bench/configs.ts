/** Configs like those of public images: from a small base to an application on a language's run time. */
import { createHash } from "node:crypto"

const sha = (text: string): string => "sha256:" + createHash("sha256").update(text).digest("hex")

const steps = [
  "/bin/sh -c #(nop) ADD file:5758b97d8301c84a204a6e516241275d785a7cade40b2fb99f01fe122482e283 in / ",
  "/bin/sh -c #(nop)  CMD [\"bash\"]",
  "RUN /bin/sh -c set -eux; \tapt-get update; \tapt-get install -y --no-install-recommends \t\tca-certificates " +
  "\t\tnetbase \t\ttzdata \t; \trm -rf /var/lib/apt/lists/* # buildkit",
  "ENV LANG=C.UTF-8",
  "ENV GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D",
  "RUN /bin/sh -c set -eux; \t\tsavedAptMark=\"$(apt-mark showmanual)\"; \tapt-get update; \tapt-get install -y " +
  "--no-install-recommends \t\tdpkg-dev \t\tgcc \t\tlibbluetooth-dev \t\tlibbz2-dev \t; \t\twget -O python.tar.xz " +
  "\"https://www.example.org/ftp/python/${PYTHON_VERSION%%[a-z]*}/Python-$PYTHON_VERSION.tar.xz\"; \techo \"$SHA256 " +
  "*python.tar.xz\" | sha256sum -c -; \tmkdir -p /usr/src/python && make -j \"$(nproc)\" 2>&1 # buildkit",
  "RUN /bin/sh -c set -eux; \tfor src in idle3 pip3 pydoc3 python3 python3-config; do \t\tdst=\"$(echo \"$src\" | tr " +
  "-d 3)\"; \t\t[ -s \"/usr/local/bin/$src\" ]; \t\tln -svT \"$src\" \"/usr/local/bin/$dst\"; \tdone # buildkit",
  "WORKDIR /app",
  "COPY --chown=1000:1000 package.json package-lock.json ./ # buildkit",
  "RUN /bin/sh -c npm ci --omit=dev && npm cache clean --force # buildkit",
  "EXPOSE map[8080/tcp:{}]",
  "HEALTHCHECK &{[\"CMD-SHELL\" \"curl -f http://localhost:8080/health || exit 1\"] \"30s\" \"5s\" \"0s\" '\\x03'}",
  "USER node",
  "CMD [\"node\" \"dist/server.js\"]"
]

const isLayer = (step: string): boolean => /ADD|COPY|RUN|WORKDIR/.test(step)

const config = (items: number, variables: number, seed: string): unknown => {
  const history = Array.from({ length: items }, (_, index) => {
    const step = steps[index % steps.length] ?? ""
    const time = new Date(Date.UTC(2025, 2, 17, 4, 12, index)).toISOString().replace(/\.\d+Z$/, "")
    return {
      created: `${time}.${String((index * 7_919_317) % 1_000_000_000).padStart(9, "1")}Z`,
      created_by: step,
      ...(index > 1 ? { comment: "buildkit.dockerfile.v0" } : {}),
      ...(isLayer(step) ? {} : { empty_layer: true })
    }
  })
  return {
    architecture: "amd64",
    config: {
      ExposedPorts: { "8080/tcp": {} },
      Env: [
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ...Array.from({ length: variables }, (_, index) => `VARIABLE_${index}=${sha(seed + index).slice(7, 47)}`)
      ],
      Entrypoint: ["docker-entrypoint.sh"],
      Cmd: ["node", "dist/server.js"],
      Healthcheck: { Test: ["CMD-SHELL", "curl -f http://localhost:8080/health || exit 1"], Interval: 30_000_000_000 },
      WorkingDir: "/app",
      Labels: {
        "org.opencontainers.image.source": "https://git.example.org/team/application",
        "org.opencontainers.image.revision": sha(seed).slice(7, 47),
        "org.opencontainers.image.title": "An application <team@example.org>"
      },
      OnBuild: null
    },
    created: "2025-03-17T04:12:25.123456789Z",
    docker_version: "24.0.7",
    history,
    os: "linux",
    rootfs: {
      type: "layers",
      diff_ids: history.filter((item) => !("empty_layer" in item)).map((_, i) => sha(seed + i))
    }
  }
}

/** Go's encoder escapes these, so the configs of images hold them escaped. */
const escape = (text: string): string =>
  text.replace(/[<>&]/g, (character) => "\\u00" + character.charCodeAt(0).toString(16))

/** Makes configs of 2, 8, 14, 22, 40 and 90 history items. */
export const realisticConfigs = (): ReadonlyArray<Uint8Array> =>
  [2, 8, 14, 22, 40, 90].map((items) =>
    new TextEncoder().encode(escape(JSON.stringify(config(items, 2 + (items >> 2), `seed-${items}`))))
  )
