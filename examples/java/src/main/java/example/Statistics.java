package example;

import com.amazonaws.services.lambda.runtime.Context;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Map;

/**
 * Statistics of a list of numbers; deploy it with {@code lambda-home deploy examples/java}.
 *
 * <p>{@code [1, 2, 3.5]}
 */
public class Statistics {
    public Map<String, Object> handle(List<Double> numbers, Context context) {
        if (numbers.isEmpty()) throw new IllegalArgumentException("give a list of numbers");
        DoubleSummaryStatistics found =
                numbers.stream().mapToDouble(Double::doubleValue).summaryStatistics();
        context.getLogger().log(found.getCount() + " numbers for " + context.getAwsRequestId());
        return Map.of("count", found.getCount(), "mean", found.getAverage(),
                "least", found.getMin(), "most", found.getMax());
    }
}
