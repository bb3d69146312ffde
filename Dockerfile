# The service's image: the built package on Node 24, as a user without rights, on a file system that may be read-only.
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY gen/ts gen/ts
COPY src src
RUN npm run build

# Apart from the build, so that a change of the source leaves this layer as it is.
FROM ${NODE_IMAGE} AS packages
WORKDIR /packages
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev --omit=optional --no-audit --no-fund

FROM ${NODE_IMAGE}
ENV NODE_ENV=production LISTEN_ADDRESS=0.0.0.0:8080
WORKDIR /opt/opsdb
COPY --from=packages /packages/node_modules node_modules
COPY --from=build /build/dist dist
COPY package.json ./
COPY sql sql
COPY ops/docker/opsdb-entry.sh ops/docker/healthcheck.mjs /usr/local/lib/opsdb/
RUN ln -s /opt/opsdb/dist/src/cli.js /usr/local/bin/opsdb && chmod 755 dist/src/cli.js /usr/local/lib/opsdb/opsdb-entry.sh
USER 1000:1000
EXPOSE 8080
# Alive and not stopping. Whether writes and reads are answered is for monitoring: a restart would not mend that.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["node", "/usr/local/lib/opsdb/healthcheck.mjs"]
ENTRYPOINT ["/usr/local/lib/opsdb/opsdb-entry.sh"]
CMD ["serve"]
