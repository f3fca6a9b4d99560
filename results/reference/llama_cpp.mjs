// SPDX-License-Identifier: Apache-2.0
// How fast llama.cpp, as node-llama-cpp packages it, runs a GGUF file: the peer's side of llama_cpp.py,
// which starts it with UV_THREADPOOL_SIZE=1. It does what tests/bench_model.c does, and prints the
// same JSON object, one line for each number of threads. The model is loaded once: seconds and
// memory of loading are told with the first.
//
//     node llama_cpp.mjs NODE_MODULES MODEL.gguf THREADS,THREADS PROMPT DECODE BATCH SECONDS
import {readFileSync, statSync} from "node:fs";
import {join, resolve} from "node:path";
import {pathToFileURL} from "node:url";

if (process.argv.length !== 9) {
    console.error("usage: llama_cpp.mjs NODE_MODULES MODEL.gguf THREADS,THREADS PROMPT DECODE BATCH " +
        "SECONDS");
    process.exit(2);
}
const [modules, path] = process.argv.slice(2, 4);
const threads = process.argv[4].split(",").map(Number);
const [nPrompt, nDecode, nBatch, least] = process.argv.slice(5).map(Number);
const home = join(resolve(modules), "node-llama-cpp");
const {getLlama} = await import(pathToFileURL(join(home, "dist", "index.js")));

const REPEATS = 32, FIRST_TOKEN = 300, TOKENS = 3700, WARM_ROWS = 16, WARM = 2;
const now = () => Number(process.hrtime.bigint()) / 1e9;
const prompt = Array.from({length: nPrompt}, (_, i) => FIRST_TOKEN + (i * 7919) % TOKENS);

function median(list) {
    const a = [...list].sort((x, y) => x - y);
    return (a[(a.length - 1) >> 1] + a[a.length >> 1]) / 2;
}

// n tokens more, each the most likely one; a token that ends a text does not end this.
async function decode(sequence, n) {
    let token = FIRST_TOKEN;
    for (let made = 0; made < n;) {
        const tokens = sequence.evaluate([token], {temperature: 0, yieldEogToken: true});
        while (made < n) {
            const next = await tokens.next();
            if (next.done)
                break;
            token = next.value;
            made++;
        }
        await tokens.return();
    }
}

async function read(sequence, tokens) {
    await sequence.clearHistory();
    await sequence.evaluateWithoutGeneratingNewTokens(tokens);
}

// Rates of prompts (of the first sequence) and of decoding all together.
async function measure(sequences) {
    const prompts = [], decoding = [];
    let promptSeconds = 0, decodeSeconds = 0;
    do {
        let start = now();
        await read(sequences[0], prompt);
        let took = now() - start;
        promptSeconds += took;
        prompts.push(nPrompt / took);
        for (const s of sequences.slice(1))
            await read(s, prompt);
        start = now();
        await Promise.all(sequences.map((s) => decode(s, nDecode)));
        took = now() - start;
        decodeSeconds += took;
        decoding.push(nDecode * sequences.length / took);
    } while (prompts.length < REPEATS && ((sequences.length === 1 && promptSeconds < least) || decodeSeconds < least));
    return {prompt: median(prompts), decode: median(decoding), repeats: prompts.length};
}

function peakBytes() {
    const found = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1"));
    return found ? Number(found[1]) * 1024 : null;
}

// The model in a context with so many threads.
async function run(llama, model, threads, start) {
    const context = await model.createContext({
        contextSize: nPrompt + nDecode, batchSize: Math.max(256, nBatch), sequences: nBatch,
        threads: {ideal: threads, min: threads}
    });
    const load = now() - start;
    const sequences = Array.from({length: nBatch}, () => context.getSequence());
    await decode(sequences[0], 1);
    const ready = now() - start, loaded = start > 0;
    await read(sequences[0], prompt.slice(0, WARM_ROWS));
    await decode(sequences[0], WARM);
    const one = await measure(sequences.slice(0, 1));
    const many = nBatch > 1 ? await measure(sequences) : null;
    console.log(JSON.stringify({
        program: "llama.cpp " + llama.llamaCppRelease.release,
        kernels: llama.systemInfo.trim(), threads, prompt: nPrompt, decode: nDecode, batch: nBatch,
        file_bytes: statSync(path).size, load_s: loaded ? load : null,
        ready_s: loaded ? ready : null, peak_bytes: loaded ? peakBytes() : null,
        prompt_per_s: one.prompt, decode_per_s: one.decode, repeats: one.repeats,
        ...(many ? {batch_per_s: many.decode} : {})
    }));
    await context.dispose();
}

const llama = await getLlama({gpu: false, build: "never", logLevel: "error", maxThreads: 0});
const start = now();
const model = await llama.loadModel({modelPath: path});
for (const [i, n] of threads.entries())
    await run(llama, model, n, i === 0 ? start : 0);
process.exit(0);
