// Parses ONNX files and builds engines by the TensorRT-RTX library, on the CPU alone.
//
//   parser_check operators NAME ...       one line per operator: name, tab, 1 or 0
//   parser_check graph FILE [INPUT:MIN:OPT:MAX ...]     shapes like 1x3x64x64
//
// For a graph, lines of a key, a tab and a value: version, layers, error (each of the parser's),
// message (errors and warnings logged), bytes (of the engine), seconds. Exit code 0: parsed and
// built; 2: not parsed; 3: not built; 1: the tool was called wrongly or the library refuses.
//
// The factories of the header cannot be used: they hand over the version of TensorRT that the
// headers are of, and the library here is TensorRT-RTX, which counts otherwise. It is asked for its
// own.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "NvInfer.h"
#include "NvOnnxParser.h"

namespace
{

void say(char const* key, std::string value)
{
    std::replace(value.begin(), value.end(), '\n', ' ');
    std::cout << key << '\t' << value << std::endl;
}

class Log : public nvinfer1::ILogger
{
public:
    void log(Severity severity, char const* text) noexcept override
    {
        if (severity <= Severity::kWARNING)
        {
            say("message", text);
        }
    }
};

std::vector<std::string> split(std::string const& text, char between)
{
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, between);)
    {
        parts.push_back(part);
    }
    return parts;
}

nvinfer1::Dims shape(std::string const& text)
{
    nvinfer1::Dims dims{};
    for (auto const& side : split(text, 'x'))
    {
        dims.d[dims.nbDims++] = std::stoll(side);
    }
    return dims;
}

struct Parts
{
    std::unique_ptr<nvinfer1::IBuilder> builder;
    std::unique_ptr<nvinfer1::INetworkDefinition> network;
    std::unique_ptr<nvonnxparser::IParser> parser;
};

bool make(Parts& parts, Log& log)
{
    parts.builder.reset(
        static_cast<nvinfer1::IBuilder*>(createInferBuilder_INTERNAL(&log, getInferLibVersion())));
    if (!parts.builder)
    {
        return false;
    }
    parts.network.reset(parts.builder->createNetworkV2(0));
    if (!parts.network)
    {
        return false;
    }
    parts.parser.reset(static_cast<nvonnxparser::IParser*>(
        createNvOnnxParser_INTERNAL(parts.network.get(), &log, getNvOnnxParserVersion())));
    return parts.parser != nullptr;
}

bool setProfile(Parts& parts, nvinfer1::IBuilderConfig& config, int count, char** texts)
{
    if (count == 0)
    {
        return true;
    }
    auto* profile = parts.builder->createOptimizationProfile();
    using nvinfer1::OptProfileSelector;
    for (int i = 0; i < count; ++i)
    {
        auto const words = split(texts[i], ':');
        if (words.size() != 4)
        {
            return false;
        }
        char const* name = words[0].c_str();
        bool const taken = profile->setDimensions(name, OptProfileSelector::kMIN, shape(words[1]))
            && profile->setDimensions(name, OptProfileSelector::kOPT, shape(words[2]))
            && profile->setDimensions(name, OptProfileSelector::kMAX, shape(words[3]));
        if (!taken)
        {
            return false;
        }
    }
    return config.addOptimizationProfile(profile) >= 0;
}

int checkGraph(Parts& parts, int count, char** texts)
{
    bool const parsed = parts.parser->parseFromFile(texts[0], 2);
    say("layers", std::to_string(parts.network->getNbLayers()));
    for (int i = 0; i < parts.parser->getNbErrors(); ++i)
    {
        auto const* error = parts.parser->getError(i);
        say("error", std::string(error->nodeOperator()) + ": " + error->desc());
    }
    if (!parsed)
    {
        return 2;
    }
    std::unique_ptr<nvinfer1::IBuilderConfig> config(parts.builder->createBuilderConfig());
    if (!setProfile(parts, *config, count - 1, texts + 1))
    {
        say("error", "the profile was refused");
        return 3;
    }
    auto const started = std::chrono::steady_clock::now();
    std::unique_ptr<nvinfer1::IHostMemory> plan(
        parts.builder->buildSerializedNetwork(*parts.network, *config));
    std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - started;
    say("seconds", std::to_string(seconds.count()));
    say("bytes", std::to_string(plan ? plan->size() : 0));
    return plan ? 0 : 3;
}

} // namespace

extern "C" int getInferLibVersion() noexcept;

int main(int count, char** texts)
{
    if (count < 3)
    {
        std::cerr << "parser_check operators NAME ... | graph FILE [INPUT:MIN:OPT:MAX ...]\n";
        return 1;
    }
    Log log;
    Parts parts;
    say("version", std::to_string(getInferLibVersion()));
    if (!make(parts, log))
    {
        return 1;
    }
    if (std::string(texts[1]) == "graph")
    {
        return checkGraph(parts, count - 2, texts + 2);
    }
    for (int i = 2; i < count; ++i)
    {
        say(texts[i], parts.parser->supportsOperator(texts[i]) ? "1" : "0");
    }
    return 0;
}
