# docker build -t artifactapi .     docs/container.md explains how to run the image
# Without the internet: examples/container/build-offline.sh
ARG BASE_IMAGE=node:24-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /app
COPY . .
# A build context that already has dist/ and node_modules/ needs no npm.
RUN if [ ! -d dist ]; then \
      npm ci --ignore-scripts --no-progress && npm run build && npm prune --omit=dev --ignore-scripts && \
      rm -r src adapters ui scripts docs tsconfig*.json package-lock.json .npmrc; \
    fi
# A first start saves the compiled program, because the user of the image cannot write there.
RUN rm -rf dist/command/compile-cache; \
    node dist/command/cli.js serve --data /tmp/data & server=$!; \
    until ls dist/command/compile-cache/program.* 2>/dev/null || [ $((seconds += 1)) -gt 60 ]; do sleep 1; done; \
    kill $server && wait $server && ls dist/command/compile-cache/program.*

FROM ${BASE_IMAGE}
ENV NODE_ENV=production
# A new volume takes the owner of the folder that it is mounted on.
RUN mkdir -p /data && chown 1000:1000 /data
COPY --from=build /app /app
# The user of the node images, by number, so that Kubernetes can verify that it is not root.
USER 1000:1000
WORKDIR /app
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:5000/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# Node is process 1 and receives the signals. Arguments after the image name in `docker run` replace CMD.
ENTRYPOINT ["node", "/app/dist/command/cli.js", "serve", "--host", "0.0.0.0", "--port", "5000", "--data", "/data"]
CMD ["--config", "/etc/artifactapi/config.yaml"]
